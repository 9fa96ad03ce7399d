"""The scale and shift of a normalization, saved as what changed: h = n(x) (w + w_norm) + b + b_norm (`train_norm`)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.network import NetworkConfig
from .base import Size, Target
from .weight_adapter import WeightAdapter


class Norm(WeightAdapter):
    FILE_KEYS = ("w_norm", "b_norm")
    HOMOGENEOUS = ("w_norm",)

    def __init__(self, target: Target, network: NetworkConfig) -> None:
        super().__init__(target, network)
        self.w_norm = nn.Parameter(torch.zeros(self.weight_shape))
        self.b_norm = nn.Parameter(torch.zeros(self.weight_shape))

    @classmethod
    def make(cls, target: Target, size: Size, network: NetworkConfig, seed: int) -> Norm:
        return cls(target, network)

    def delta(self) -> Tensor:
        return self.w_norm

    def change(self, x: Tensor) -> Tensor | None:
        """network_dropout leaves normalizations alone: there is nothing behind them that could make up for it."""
        if self.is_skipped():
            return None
        w, b = self.w_norm, self.b_norm
        if self.training and self.rank_dropout:
            kept = self._kept(len(w), w)
            w, b = w * kept, b * kept
        if isinstance(self.layer, nn.GroupNorm):
            return F.group_norm(x.to(w.dtype), self.layer.num_groups, w, b, self.layer.eps)
        return F.layer_norm(x.to(w.dtype), tuple(w.shape), w, b, self.layer.eps)  # type: ignore[arg-type]

    @classmethod
    def delta_in_file(cls, tensors: Mapping[str, Tensor], weight: Tensor | None = None) -> Tensor:
        return tensors["w_norm"].float()

    @classmethod
    def bias_in_file(cls, tensors: Mapping[str, Tensor]) -> Tensor | None:
        return tensors.get("b_norm")
