"""GLoRA (Chavan et al. 2023, arXiv:2306.07967), as LyCORIS has it: a LoRA of the weight and one of its inputs.

P = W A + B, with A = a1 a2 (I, I) and B = b1 b2 (O, I[, k, k]); a2 and b2 are zero at first.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..config.network import NetworkConfig
from .base import Size, Target
from .factored import FactoredAdapter, kernel
from .weight_adapter import Matrix, alpha_in, kaiming, needed


class Glora(FactoredAdapter):
    FILE_KEYS = ("a1.weight", "a2.weight", "b1.weight", "b2.weight", "alpha")
    FOLDED = ("a2.weight", "b2.weight")
    HOMOGENEOUS = ("a1.weight", "b1.weight")

    def __init__(self, target: Target, size: Size, network: NetworkConfig) -> None:
        super().__init__(target, size, network)
        shape, rank = self.weight_shape, size.rank
        ones = (1,) * len(kernel(shape))
        self.a1, self.a2 = Matrix(shape[1], rank, *ones), Matrix(rank, shape[1], *ones)
        self.b1, self.b2 = Matrix(shape[0], rank, *ones), Matrix(rank, shape[1], *kernel(shape))

    def draw(self, generator: torch.Generator) -> None:
        drawn = (self.a1, self.b1) if self.scalar is None else (self.a1, self.a2, self.b1, self.b2)
        for part in drawn:
            kaiming(part.weight, generator)

    @classmethod
    def product(cls, tensors: Mapping[str, Tensor], shape: torch.Size, weight: Tensor | None) -> Tensor:
        a1_IR, a2_RI, b1_OR, b2_RI = (tensors[f"{key}.weight"].flatten(1) for key in ("a1", "a2", "b1", "b2"))
        original = needed(weight).to(a1_IR.dtype).reshape(shape)
        by_input = torch.einsum("oi...,ir,rj->oj...", original, a1_IR, a2_RI)
        return by_input + (b1_OR @ b2_RI).reshape(shape)

    @classmethod
    def size_in_file(cls, tensors: Mapping[str, Tensor]) -> Size:
        rank = tensors["a2.weight"].shape[0]
        return Size(rank, alpha_in(tensors, rank))

    @classmethod
    def shape_in_file(cls, tensors: Mapping[str, Tensor]) -> torch.Size:
        return torch.Size((tensors["b1.weight"].shape[0], *tensors["b2.weight"].shape[1:]))
