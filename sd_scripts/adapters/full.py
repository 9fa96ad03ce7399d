"""Whole weights, saved as what changed: W' = W + diff, and for a bias b' = b + diff_b."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..config.network import NetworkConfig
from .base import Size, Target
from .weight_adapter import WeightAdapter


class Full(WeightAdapter):
    FILE_KEYS = ("diff", "diff_b")
    HOMOGENEOUS = ("diff",)

    def __init__(self, target: Target, network: NetworkConfig) -> None:
        super().__init__(target, network)
        self.diff = nn.Parameter(torch.zeros(self.weight_shape))
        self.diff_b = None if self.layer.bias is None else nn.Parameter(torch.zeros(self.layer.bias.shape))

    @classmethod
    def make(cls, target: Target, size: Size, network: NetworkConfig, seed: int) -> Full:
        return cls(target, network)

    def delta(self) -> Tensor:
        return self.diff

    def bias_change(self) -> Tensor | None:
        return self.diff_b

    @classmethod
    def delta_in_file(cls, tensors: Mapping[str, Tensor], weight: Tensor | None = None) -> Tensor:
        return tensors["diff"].float()

    @classmethod
    def bias_in_file(cls, tensors: Mapping[str, Tensor]) -> Tensor | None:
        return tensors.get("diff_b")
