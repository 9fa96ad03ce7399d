"""BOFT (Liu et al. 2023, arXiv:2311.06243): a rotation of all outputs made of a few stages of small ones, as in an FFT.

W' = S_m ... S_2 S_1 W. Stage i is block-diagonal with blocks (b, b) after outputs that lie 2^i b/2 apart were brought
together.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..config.network import NetworkConfig
from ..errors import UserError
from .base import Size, Target
from .factorization import butterfly
from .oft import Rotation


class Boft(Rotation):
    @classmethod
    def make(cls, target: Target, size: Size, network: NetworkConfig, seed: int) -> Boft:
        outputs = target.module.weight.shape[0]
        found = butterfly(outputs, size.rank)
        if found is None:
            raise UserError(_why(target.name, outputs, size.rank))
        side, count = found
        stages = (count - 1).bit_count() + 1
        return cls(target, network, (stages, count, side, side), network.constraint, network.rescaled)

    @classmethod
    def is_of(cls, name: str, tensors: Mapping[str, Tensor]) -> bool:
        return super().is_of(name, tensors) and tensors["oft_blocks"].ndim == 4

    @classmethod
    def rotated(cls, weight: Tensor, rotation_MKBB: Tensor) -> Tensor:
        """Every stage in turn."""
        side = rotation_MKBB.shape[-1]
        turned = weight.reshape(weight.shape[0], -1)
        for stage, rotation_KBB in enumerate(rotation_MKBB):
            turned = _stage(turned, rotation_KBB, 2**stage * side // 2)
        return turned.reshape(weight.shape)


def _why(name: str, outputs: int, rank: int) -> str:
    least = next((limit for limit in range(rank, outputs + 1) if butterfly(outputs, limit)), None)
    advice = f"set it to {least} or more" if least else "choose another preset or algo"
    return f"network_dim: {name} has {outputs} outputs, which BOFT can't split with {rank}; {advice}."


def _stage(rows_OX: Tensor, rotation_KBB: Tensor, apart: int) -> Tensor:
    """R applied to blocks of rows of which every other one lies `apart` away."""
    count, side, _ = rotation_KBB.shape
    shuffled = rows_OX.reshape(-1, 2, apart, rows_OX.shape[1]).transpose(1, 2).reshape(count, side, -1)
    turned = torch.einsum("kmn,knx->kmx", rotation_KBB, shuffled)
    return turned.reshape(-1, apart, 2, rows_OX.shape[1]).transpose(1, 2).reshape(rows_OX.shape)
