"""LoHa (Hyeon-Woo et al. 2021, FedPara, arXiv:2108.06098): the product, number by number, of two low-rank matrices.

P = (A1 B1) * (A2 B2), with A (O, r) and B (r, I k k): rank up to r^2 for the size of two LoRAs. In Tucker form each
factor of a convolution is a core (r, r, k, k) with A (r, O) on its first axis and B (r, I) on its second.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..config.network import NetworkConfig
from .base import Size, Target
from .factored import FactoredAdapter, is_spatial, kernel, tucker
from .weight_adapter import alpha_in

SPREADS = {"hada_w1_a": 0.1, "hada_w1_b": 1.0, "hada_w2_a": 0.1, "hada_w2_b": 1.0, "hada_t1": 0.1, "hada_t2": 0.1}
"""Standard deviations of the first values; `hada_w2_a` is zero unless a trained scalar is."""


class Loha(FactoredAdapter):
    FILE_KEYS = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2", "alpha", "dora_scale")
    FLAT = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
    FOLDED = ("hada_w1_a",)
    HOMOGENEOUS = ("hada_w1_a",)

    def __init__(self, target: Target, size: Size, network: NetworkConfig) -> None:
        super().__init__(target, size, network)
        shape, rank = self.weight_shape, size.rank
        in_three = network.use_tucker and is_spatial(shape)
        out, into = shape[0], shape[1] if in_three else shape[1:].numel()
        for half in ("1", "2"):
            setattr(self, f"hada_w{half}_a", nn.Parameter(torch.zeros((rank, out) if in_three else (out, rank))))
            setattr(self, f"hada_w{half}_b", nn.Parameter(torch.zeros(rank, into)))
            if in_three:
                setattr(self, f"hada_t{half}", nn.Parameter(torch.zeros(rank, rank, *kernel(shape))))

    def draw(self, generator: torch.Generator) -> None:
        for key, spread in SPREADS.items():
            if hasattr(self, key) and (key != "hada_w2_a" or self.scalar is not None):
                nn.init.normal_(getattr(self, key), std=spread, generator=generator)

    @classmethod
    def product(cls, tensors: Mapping[str, Tensor], shape: torch.Size, weight: Tensor | None) -> Tensor:
        first, second = (_factor(tensors, half) for half in ("1", "2"))
        return (first * second).reshape(shape)

    @classmethod
    def size_in_file(cls, tensors: Mapping[str, Tensor]) -> Size:
        rank = tensors["hada_w1_b"].shape[0]
        return Size(rank, alpha_in(tensors, rank))

    @classmethod
    def shape_in_file(cls, tensors: Mapping[str, Tensor]) -> torch.Size:
        into = tensors["hada_w1_b"].shape[1]
        if "hada_t1" in tensors:
            return torch.Size((tensors["hada_w1_a"].shape[1], into, *tensors["hada_t1"].shape[2:]))
        return torch.Size((tensors["hada_w1_a"].shape[0], into))

    @classmethod
    def settings_in_file(cls, tensors: Mapping[str, Tensor], shape: torch.Size) -> dict[str, object]:
        return super().settings_in_file(tensors, shape) | {"use_tucker": "hada_t1" in tensors}


def _factor(tensors: Mapping[str, Tensor], half: str) -> Tensor:
    out, into = tensors[f"hada_w{half}_a"], tensors[f"hada_w{half}_b"]
    core = tensors.get(f"hada_t{half}")
    return out @ into if core is None else tucker(core, out, into)
