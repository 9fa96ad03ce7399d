"""IA3 (Liu et al. 2022, arXiv:2205.05638): a factor for each output, or each input, of a layer.

W' = (1 + w) * W along the rows (`train_on_input` off) or the columns. Files hold w as `weight`, (n,) or (1, n, 1, 1),
and `on_input` as 0 or 1.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..config.network import NetworkConfig
from .base import Size, Target
from .layers import IA3_INPUTS
from .weight_adapter import WeightAdapter, needed


class IA3(WeightAdapter):
    FILE_KEYS = ("on_input", "weight")
    HOMOGENEOUS = ("weight",)

    on_input: Tensor

    def __init__(self, target: Target, network: NetworkConfig) -> None:
        super().__init__(target, network)
        self.reads_input = network.train_on_input or (network.layers == "ia3" and target.name.endswith(IA3_INPUTS))
        count = self.weight_shape[1 if self.reads_input else 0]
        self.weight = nn.Parameter(torch.zeros((1, count, 1, 1) if len(self.weight_shape) == 4 else (count,)))
        self.register_buffer("on_input", torch.tensor(int(self.reads_input)))

    @classmethod
    def make(cls, target: Target, size: Size, network: NetworkConfig, seed: int) -> IA3:
        return cls(target, network)

    def delta(self) -> Tensor:
        return scaled(self.original().to(self.weight.dtype), self.weight, self.reads_input)

    @classmethod
    def delta_in_file(cls, tensors: Mapping[str, Tensor], weight: Tensor | None = None) -> Tensor:
        return scaled(needed(weight), tensors["weight"].float(), bool(tensors["on_input"]))

    @classmethod
    def settings_in_file(cls, tensors: Mapping[str, Tensor], shape: torch.Size) -> dict[str, object]:
        return {"train_on_input": bool(tensors["on_input"]), "preset": None}

    def load_file_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        if "on_input" in tensors and bool(tensors["on_input"]) != self.reads_input:
            raise ValueError(f"scales its {'inputs' if tensors['on_input'] else 'outputs'}, unlike here")
        super().load_file_tensors(tensors)

    def _to_file(self, key: str, value: Tensor) -> Tensor:
        return value[None, :, None, None] if self._stored_as_convolution and key == "weight" else value


def scaled(weight: Tensor, factors: Tensor, on_input: bool) -> Tensor:
    """W times a factor for each of its columns or rows."""
    axis = 1 if on_input else 0
    shape = [1] * weight.ndim
    shape[axis] = weight.shape[axis]
    return weight * factors.reshape(shape)
