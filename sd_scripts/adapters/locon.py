"""LyCORIS' LoCon (Yeh et al. 2023, arXiv:2309.14859): LoRA of linear layers and convolutions, with DoRA and a Tucker
form.

P = B A, with A (r, I[, k, k]) drawn and B (O, r) zero at first. In Tucker form A is (r, I) and a third convolution M
(r, r, k, k) stands between them. Files call A `lora_down`, B `lora_up`, M `lora_mid`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.network import NetworkConfig
from .base import Size, Target
from .factored import FactoredAdapter, is_spatial, kernel, tucker
from .weight_adapter import Matrix, alpha_in, kaiming, through


class Locon(FactoredAdapter):
    FILE_KEYS = ("lora_down.weight", "lora_up.weight", "lora_mid.weight", "alpha", "dora_scale")
    FASTER = ("lora_up.weight",)
    FOLDED = ("lora_up.weight",)
    HOMOGENEOUS = ("lora_up.weight",)

    def __init__(self, target: Target, size: Size, network: NetworkConfig) -> None:
        super().__init__(target, size, network)
        shape, rank = self.weight_shape, size.rank
        in_three = network.use_tucker and is_spatial(shape)
        ones = (1,) * len(kernel(shape))
        self.lora_down = Matrix(rank, shape[1], *(ones if in_three else kernel(shape)))
        self.lora_mid = Matrix(rank, rank, *kernel(shape)) if in_three else None
        self.lora_up = Matrix(shape[0], rank, *ones)

    def draw(self, generator: torch.Generator) -> None:
        for part in (self.lora_down, self.lora_mid):
            if part is not None:
                kaiming(part.weight, generator)
        if self.scalar is not None:
            kaiming(self.lora_up.weight, generator)

    @classmethod
    def product(cls, tensors: Mapping[str, Tensor], shape: torch.Size, weight: Tensor | None) -> Tensor:
        down, up_OR = tensors["lora_down.weight"], tensors["lora_up.weight"].flatten(1)
        if "lora_mid.weight" in tensors:
            return tucker(tensors["lora_mid.weight"], up_OR.T, down.flatten(1)).reshape(shape)
        return (up_OR @ down.flatten(1)).reshape(shape)

    def change(self, x: Tensor) -> Tensor | None:
        """Through the small matrices one by one, which is less work than making D; DoRA needs D."""
        if self.dora_scale is not None:
            return super().change(x)
        if self.is_skipped():
            return None
        if not torch.is_autocast_enabled(x.device.type):
            x = x.to(self.lora_down.weight.dtype)
        inner = self._dropped(self._inner(x))
        changed = (
            F.linear(inner, self.lora_up.weight)
            if inner.ndim != 4 or not self._convolves
            else F.conv2d(inner, self.lora_up.weight)
        )
        return changed * (self.scale if self.scalar is None else self.scale * self.scalar)

    @property
    def _convolves(self) -> bool:
        return isinstance(self.layer, nn.Conv2d)

    def _inner(self, x: Tensor) -> Tensor:
        if self.lora_mid is None:
            return through(self.layer, x, self.lora_down.weight)
        return through(self.layer, F.conv2d(x, self.lora_down.weight), self.lora_mid.weight)

    def _dropped(self, inner: Tensor) -> Tensor:
        """Drops single values (network_dropout) and whole rank units (rank_dropout)."""
        if not self.training:
            return inner
        if self.dropout:
            inner = F.dropout(inner, self.dropout)
        if self.rank_dropout:
            kept_R = self._kept(self.rank, inner)
            inner = inner * (kept_R[:, None, None] if self._convolves else kept_R)
        return inner

    @classmethod
    def size_in_file(cls, tensors: Mapping[str, Tensor]) -> Size:
        rank = tensors["lora_down.weight"].shape[0]
        return Size(rank, alpha_in(tensors, rank))

    @classmethod
    def shape_in_file(cls, tensors: Mapping[str, Tensor]) -> torch.Size:
        largest = tensors.get("lora_mid.weight", tensors["lora_down.weight"])
        return torch.Size(
            (tensors["lora_up.weight"].shape[0], tensors["lora_down.weight"].shape[1], *largest.shape[2:])
        )

    @classmethod
    def settings_in_file(cls, tensors: Mapping[str, Tensor], shape: torch.Size) -> dict[str, object]:
        return super().settings_in_file(tensors, shape) | {"use_tucker": "lora_mid.weight" in tensors}
