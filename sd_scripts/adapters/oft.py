"""OFT (Qiu et al. 2023, arXiv:2306.07280): outputs are rotated, block by block, so that their lengths and angles stay.

W' = R^T W with R block-diagonal. A block (b, b) is free numbers X; Q = X - X^T is skew, and R = (I + Q) (I - Q)^-1 a
rotation (Cayley). |Q| over all blocks is kept within `limit`. LyCORIS' diag-oft writes the block size as the rank,
sd-scripts the number of blocks, with the limit in `alpha`, divided by the layer's outputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..config.network import NetworkConfig
from ..errors import UserError
from .base import Size, Target
from .factorization import split
from .weight_adapter import WeightAdapter, needed, shrinking

EPSILON = 1e-8


class Rotation(WeightAdapter):
    """What the kinds of rotations share. `blocks` (..., b, b) is what is trained; `rescale` (O, 1[, 1, 1]) is
    optional."""

    FILE_KEYS = ("oft_blocks", "alpha", "rescale")
    HOMOGENEOUS = ("oft_blocks",)

    alpha: Tensor

    def __init__(
        self, target: Target, network: NetworkConfig, blocks: tuple[int, ...], alpha: float, rescaled: bool
    ) -> None:
        super().__init__(target, network)
        shape = self.weight_shape
        self.oft_blocks = nn.Parameter(torch.zeros(blocks))
        self.register_buffer("alpha", torch.tensor(float(alpha)))
        self._limit = self.limit(float(alpha), shape[0])
        self.rescale = nn.Parameter(torch.ones(shape[0], *[1] * (len(shape) - 1))) if rescaled else None

    def delta(self) -> Tensor:
        return self.turned(self.original().to(self.oft_blocks.dtype), self.oft_blocks, self._limit, self.rescale)

    @classmethod
    def turned(cls, weight: Tensor, blocks: Tensor, limit: float | None, rescale: Tensor | None) -> Tensor:
        """W' - W, with what `rescale` makes of it."""
        rotated = cls.rotated(weight, rotations(blocks, limit))
        return (rotated if rescale is None else rotated * rescale.reshape(-1, *[1] * (weight.ndim - 1))) - weight

    @classmethod
    def rotated(cls, weight: Tensor, rotation_KBB: Tensor) -> Tensor:
        """R^T W, block by block."""
        by_block = weight.reshape(rotation_KBB.shape[0], rotation_KBB.shape[-1], -1)
        return torch.einsum("knm,knx->kmx", rotation_KBB, by_block).reshape(weight.shape)

    @classmethod
    def limit(cls, alpha: float, outputs: int) -> float | None:
        """What |Q| may be; an alpha of 0 means that there is no limit."""
        return alpha * outputs or None

    def load_file_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        super().load_file_tensors(tensors)
        self._limit = self.limit(float(self.alpha), self.weight_shape[0])

    @classmethod
    def delta_in_file(cls, tensors: Mapping[str, Tensor], weight: Tensor | None = None) -> Tensor:
        values = {key: value.float() for key, value in tensors.items()}
        limit = cls.limit(float(values.get("alpha", 0.0)), needed(weight).shape[0])
        return cls.turned(needed(weight), values["oft_blocks"], limit, values.get("rescale"))

    @classmethod
    def size_in_file(cls, tensors: Mapping[str, Tensor]) -> Size:
        return Size(tensors["oft_blocks"].shape[-1], 1.0)

    @classmethod
    def settings_in_file(cls, tensors: Mapping[str, Tensor], shape: torch.Size) -> dict[str, object]:
        return {"constraint": float(tensors.get("alpha", 0.0)), "rescaled": "rescale" in tensors}

    @torch.no_grad()
    def limit_norm(self, limit: float) -> tuple[Tensor, Tensor]:
        """Of the blocks themselves: the weight's change is no multiple of them."""
        norm = self.oft_blocks.float().norm()
        ratio = shrinking(norm, limit)
        self.oft_blocks.mul_(ratio)
        return norm * ratio, ratio


class DiagOft(Rotation):
    @classmethod
    def make(cls, target: Target, size: Size, network: NetworkConfig, seed: int) -> DiagOft:
        side, count = split(target.module.weight.shape[0], size.rank)
        return cls(target, network, (count, side, side), network.constraint, network.rescaled)

    @classmethod
    def is_of(cls, name: str, tensors: Mapping[str, Tensor]) -> bool:
        return super().is_of(name, tensors) and tensors["oft_blocks"].ndim == 3


class Oft(Rotation):
    """sd-scripts' networks.oft. Its names in a file begin with `oft_`."""

    FILE_KEYS = ("oft_blocks", "alpha")
    PREFIX = "oft_"

    @classmethod
    def make(cls, target: Target, size: Size, network: NetworkConfig, seed: int) -> Oft:
        outputs = target.module.weight.shape[0]
        if outputs % size.rank:
            raise UserError(
                f"network_dim: {size.rank} blocks don't divide the {outputs} outputs of {target.name}; "
                "choose a number that divides them."
            )
        side = outputs // size.rank
        return cls(target, network, (size.rank, side, side), size.alpha, rescaled=False)

    @classmethod
    def size_in_file(cls, tensors: Mapping[str, Tensor]) -> Size:
        return Size(tensors["oft_blocks"].shape[0], float(tensors.get("alpha", 1.0)))

    @classmethod
    def settings_in_file(cls, tensors: Mapping[str, Tensor], shape: torch.Size) -> dict[str, object]:
        return {}


def rotations(blocks: Tensor, limit: float | None) -> Tensor:
    """Cayley's R = (I + Q) (I - Q)^-1 of each block (..., b, b), with |Q| <= limit over all of them."""
    skew = blocks - blocks.transpose(-1, -2)
    if limit is not None:
        skew = skew * (limit / (norm_of(skew) + EPSILON)).clamp(max=1)
    one = torch.eye(blocks.shape[-1], device=blocks.device)
    skew = skew.float()  # there is no inverse of half numbers
    return ((one + skew) @ torch.linalg.inv(one - skew)).to(blocks.dtype)


def norm_of(skew: Tensor) -> Tensor:
    """|Q|, whose gradient at 0 is 0 and not undefined."""
    return (skew.square().sum() + EPSILON**2).sqrt()
