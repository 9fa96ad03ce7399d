"""LoRA (Hu et al. 2021, arXiv:2106.09685), also of convolutions (LoCon).

h = W x + alpha / r * B A x, with A (r, I) drawn and B (O, r) zero at first. A 3x3 convolution has A as a 3x3
convolution to r channels and B as a 1x1 convolution. Files call A `lora_down` and B `lora_up`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import draws
from ..config.network import NetworkConfig
from .base import AdapterModule, Size, Target
from .weight_adapter import alpha_in, kaiming, shrinking


class Lora(AdapterModule):
    FILE_KEYS = ("lora_down.weight", "lora_up.weight", "alpha")
    FASTER = ("lora_up.weight",)

    alpha: Tensor

    def __init__(self, target: Target, size: Size, network: NetworkConfig) -> None:
        super().__init__(target)
        self.lora_down, self.lora_up = _layers(target.module, size.rank)
        self.register_buffer("alpha", torch.tensor(float(size.alpha)))
        self.scale = size.alpha / size.rank
        self.dropout = network.network_dropout
        self.rank_dropout = network.rank_dropout
        self.module_dropout = network.module_dropout

    @classmethod
    def make(cls, target: Target, size: Size, network: NetworkConfig, seed: int) -> Lora:
        made = cls(target, size, network)
        kaiming(made.lora_down.weight, draws.generator(seed, f"adapter/{target.name}"))
        nn.init.zeros_(made.lora_up.weight)
        return made

    @classmethod
    def size_in_file(cls, tensors: Mapping[str, Tensor]) -> Size:
        rank = tensors["lora_down.weight"].shape[0]
        return Size(rank, alpha_in(tensors, rank))

    @classmethod
    def delta_in_file(cls, tensors: Mapping[str, Tensor], weight: Tensor | None = None) -> Tensor:
        size = cls.size_in_file(tensors)
        down_RI = tensors["lora_down.weight"].float().flatten(1)
        up_OR = tensors["lora_up.weight"].float().flatten(1)
        return up_OR @ down_RI * (size.alpha / size.rank)

    def load_file_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """A file without an alpha means alpha = rank."""
        super().load_file_tensors({"alpha": torch.tensor(float(self.lora_down.weight.shape[0])), **tensors})
        self.scale = float(self.alpha) / self.lora_down.weight.shape[0]

    def change(self, x: Tensor) -> Tensor | None:
        if self.training and self._skips():
            return None
        if not torch.is_autocast_enabled(x.device.type):
            x = x.to(self.lora_down.weight.dtype)
        inner = self.lora_down(x)
        if self.training:
            inner = self._dropped(inner)
        return self.lora_up(inner) * self.scale

    def _skips(self) -> bool:
        """Drawn on the CPU, so that nothing waits for the GPU."""
        return bool(self.module_dropout) and torch.rand(1).item() < self.module_dropout

    def _dropped(self, inner: Tensor) -> Tensor:
        """Drops single values (network_dropout) and a sample's rank units (rank_dropout); what stays is scaled up."""
        if self.dropout:
            inner = F.dropout(inner, self.dropout)
        if self.rank_dropout:
            convolved = isinstance(self.lora_down, nn.Conv2d)
            ranks = inner.shape[1 if convolved else -1]
            mask_BR = torch.rand(inner.shape[0], ranks, device=inner.device) > self.rank_dropout
            shape = (
                (*mask_BR.shape, 1, 1) if convolved else (mask_BR.shape[0], *[1] * (inner.ndim - 2), mask_BR.shape[1])
            )
            inner = inner * mask_BR.reshape(shape) / (1 - self.rank_dropout)
        return inner

    @torch.no_grad()
    def limit_norm(self, limit: float) -> tuple[Tensor, Tensor]:
        """|B A|^2 is the sum of (B^T B) * (A A^T), which needs no matrix of the layer's size."""
        down_RI, up_OR = self.lora_down.weight.flatten(1).float(), self.lora_up.weight.flatten(1).float()
        norm = ((up_OR.T @ up_OR) * (down_RI @ down_RI.T)).sum().clamp(min=0).sqrt() * self.scale
        ratio = shrinking(norm, limit)
        self.lora_down.weight.mul_(ratio.sqrt())
        self.lora_up.weight.mul_(ratio.sqrt())
        return norm * ratio, ratio


def _layers(layer: nn.Module, rank: int) -> tuple[nn.Module, nn.Module]:
    """A and B for a linear layer or a convolution. They stand on the CPU until the set is moved."""
    if isinstance(layer, nn.Conv2d):
        down = nn.Conv2d(
            layer.in_channels, rank, layer.kernel_size, layer.stride, layer.padding, layer.dilation, bias=False
        )
        return down, nn.Conv2d(rank, layer.out_channels, 1, bias=False)
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, rank, bias=False), nn.Linear(rank, layer.out_features, bias=False)
    raise TypeError(f"a LoRA can't reach a {type(layer).__name__}")
