"""Adapters that change a layer's weight as a whole: h = W x + D x, where each kind says what D is.

Shapes: O and I a layer's outputs and inputs, k a convolution's kernel size; "weight's shape" is (O, I) or (O, I, k, k).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.network import NetworkConfig
from .base import AdapterModule, Size, Target


class WeightAdapter(AdapterModule):
    HOMOGENEOUS: ClassVar[tuple[str, ...]]
    """Parameters that, all multiplied by c, multiply the change of the weight by c."""

    def __init__(self, target: Target, network: NetworkConfig) -> None:
        super().__init__(target)
        self.dropout = network.network_dropout
        self.rank_dropout = network.rank_dropout
        self.rank_dropout_scale = network.rank_dropout_scale
        self.module_dropout = network.module_dropout

    @property
    def weight_shape(self) -> torch.Size:
        return self.layer.weight.shape

    def original(self) -> Tensor:
        """The layer's own weight, in float32."""
        return self.layer.weight.detach().float()

    @abstractmethod
    def delta(self) -> Tensor:
        """D, in the weight's shape."""

    def finished(self, delta: Tensor) -> Tensor:
        """The change of the weight that D, after dropping, leads to."""
        return delta

    def bias_change(self) -> Tensor | None:
        return None

    def is_skipped(self) -> bool:
        """Whether module_dropout drops it this time. Drawn on the CPU: no waiting for the GPU."""
        return bool(self.training and self.module_dropout and torch.rand(1).item() < self.module_dropout)

    def change(self, x: Tensor) -> Tensor | None:
        if self.is_skipped():
            return None
        with torch.autocast(x.device.type, enabled=False):  # norms, inverses and small products need the precision
            delta, bias = self.delta(), self.bias_change()
            if self.training and self.rank_dropout:
                kept_O = self._kept(len(delta), delta)
                delta = delta * kept_O.reshape(-1, *[1] * (delta.ndim - 1))
                bias = None if bias is None else bias * kept_O
            delta = self.finished(delta)
        if not torch.is_autocast_enabled(x.device.type):
            x = x.to(delta.dtype)
        changed = through(self.layer, x, delta, bias)
        return F.dropout(changed, self.dropout) if self.training and self.dropout else changed

    def _kept(self, count: int, like: Tensor) -> Tensor:
        """1 for what rank_dropout keeps and 0 for the rest; scaled up to the mean 1 where that is wanted."""
        kept = (torch.rand(count, device=like.device) > self.rank_dropout).to(like.dtype)
        return kept / kept.mean().clamp(min=1 / count) if self.rank_dropout_scale else kept

    @torch.no_grad()
    def limit_norm(self, limit: float) -> tuple[Tensor, Tensor]:
        norm = self.delta().float().norm()
        ratio = shrinking(norm, limit)
        for key in self.HOMOGENEOUS:
            own = dict(self.named_parameters()).get(key)
            if own is not None:
                own.mul_(ratio)
        return norm * ratio, ratio

    @classmethod
    def size_in_file(cls, tensors: Mapping[str, Tensor]) -> Size:
        """Kinds without a rank have nothing to tell."""
        return Size(1, 1.0)


class Matrix(nn.Module):
    """A parameter whose name in a file ends in `.weight`."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(shape))


def shrinking(norm: Tensor, limit: float) -> Tensor:
    """The factor that brings a norm down to `limit`, 1 where it is not above. It stays on the device."""
    floored = norm.clamp(min=limit / 2)
    return floored.clamp(max=limit) / floored


def through(layer: nn.Module, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """What the layer would make of x with another weight and bias."""
    if isinstance(layer, nn.Conv2d):
        return F.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
    if isinstance(layer, nn.Linear):
        return F.linear(x, weight, bias)
    raise TypeError(f"this kind of network can't reach a {type(layer).__name__}")


def needed(weight: Tensor | None) -> Tensor:
    """Raises ValueError where a layer's weight is needed and was not given."""
    if weight is None:
        raise ValueError("what it adds depends on the layer's own weight, so a model is needed")
    return weight.float()


def as_weight(value: Tensor, weight: Tensor) -> Tensor:
    """In the weight's shape: files may hold a linear layer as a 1x1 convolution, and the other way round."""
    return value.reshape(weight.shape)


def alpha_in(tensors: Mapping[str, Tensor], rank: int) -> float:
    """A file without an alpha means alpha = rank."""
    return float(tensors["alpha"]) if "alpha" in tensors else float(rank)


def kaiming(parameter: Tensor, generator: Any) -> None:
    """As torch draws the weight of a linear layer, from the number of inputs."""
    nn.init.kaiming_uniform_(parameter, a=5**0.5, generator=generator)
