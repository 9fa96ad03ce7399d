"""What adapters made of small matrices share: rank, alpha, a trained scalar, DoRA."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from .. import draws
from ..config.network import NetworkConfig
from .base import Size, Target
from .dora import decomposed, is_on_output, lengths
from .weight_adapter import WeightAdapter, as_weight, needed


class FactoredAdapter(WeightAdapter):
    """D = alpha / r * s * P, where P is the kind's product of small matrices and s is 1, or trained from 0
    (`use_scalar`).

    A file holds no s. Rank-stabilized scaling, alpha / sqrt(r) (Kalajdzievski 2023,
    arXiv:2312.03732), is written as an alpha that makes alpha / r the same number.
    """

    FOLDED: ClassVar[tuple[str, ...]]
    """What a trained scalar is multiplied into when it is saved."""

    alpha: Tensor

    def __init__(self, target: Target, size: Size, network: NetworkConfig) -> None:
        super().__init__(target, network)
        self.rank = size.rank
        self.scale = size.alpha / (math.sqrt(size.rank) if network.rs_lora else size.rank)
        self.register_buffer("alpha", torch.tensor(float(self.scale * size.rank)))
        self.scalar = nn.Parameter(torch.zeros(())) if network.use_scalar else None
        self.dora_scale: nn.Parameter | None = None
        if network.dora_wd and "dora_scale" in self.FILE_KEYS:
            self.dora_scale = nn.Parameter(lengths(self.original(), network.wd_on_output).cpu())

    @classmethod
    def make(cls, target: Target, size: Size, network: NetworkConfig, seed: int) -> FactoredAdapter:
        made = cls(target, size, network)
        with torch.no_grad():
            made.draw(draws.generator(seed, f"adapter/{target.name}"))
        return made

    @abstractmethod
    def draw(self, generator: torch.Generator) -> None:
        """First values. P is zero then, unless the trained scalar is."""

    @classmethod
    @abstractmethod
    def product(cls, tensors: Mapping[str, Tensor], shape: torch.Size, weight: Tensor | None) -> Tensor:
        """P from tensors under their names in a file, in the weight's shape."""

    def delta(self) -> Tensor:
        product = self.product(dict(self.named_parameters()), self.weight_shape, self.layer.weight.detach())
        scaled = product * self.scale
        return scaled if self.scalar is None else scaled * self.scalar

    def finished(self, delta: Tensor) -> Tensor:
        return delta if self.dora_scale is None else decomposed(self.original().to(delta.dtype), delta, self.dora_scale)

    @classmethod
    def delta_in_file(cls, tensors: Mapping[str, Tensor], weight: Tensor | None = None) -> Tensor:
        size = cls.size_in_file(tensors)
        values = {key: value.float() for key, value in tensors.items()}
        shape = cls.shape_in_file(tensors) if weight is None else weight.shape
        delta = cls.product(values, shape, weight) * (size.alpha / size.rank)
        if "dora_scale" in values:
            delta = decomposed(needed(weight), as_weight(delta, needed(weight)), values["dora_scale"])
        return delta

    @classmethod
    @abstractmethod
    def shape_in_file(cls, tensors: Mapping[str, Tensor]) -> torch.Size:
        """The weight's shape as far as a file tells it; a convolution's kernel may be folded into its inputs."""

    @classmethod
    def settings_in_file(cls, tensors: Mapping[str, Tensor], shape: torch.Size) -> dict[str, object]:
        found: dict[str, object] = {"rs_lora": False, "dora_wd": "dora_scale" in tensors}
        if "dora_scale" in tensors:
            found["wd_on_output"] = is_on_output(tensors["dora_scale"], torch.empty(shape, device="meta"))
        return found

    def file_tensors(self) -> dict[str, Tensor]:
        found = super().file_tensors()
        scalar = found.pop("scalar", None)
        if scalar is None:
            return found
        return {key: value * scalar if key in self.FOLDED else value for key, value in found.items()}

    def training_tensors(self) -> dict[str, Tensor]:
        return {key: self._to_file(key, value) for key, value in self.state_dict().items()}

    def load_file_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """A file without an alpha means alpha = rank. A trained scalar is in its tensors already."""
        if self.scalar is not None:
            tensors = {"scalar": torch.ones(()), **tensors}
        self.load_training_tensors({"alpha": torch.tensor(float(self.rank)), **tensors})

    def load_training_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        self._take(self.state_dict(), tensors)
        self.scale = float(self.alpha) / self.rank


def kernel(shape: torch.Size) -> tuple[int, ...]:
    """A convolution's kernel, () for a linear layer."""
    return tuple(shape[2:])


def is_spatial(shape: torch.Size) -> bool:
    return any(side != 1 for side in kernel(shape))


def tucker(core: Tensor, out: Tensor, into: Tensor) -> Tensor:
    """Core (r, r, k, k) with `out` (r, O) on its first axis and `into` (r, I) on its second -> (O, I, k, k)."""
    return torch.einsum("ij...,ip,jr->pr...", core, out, into)
