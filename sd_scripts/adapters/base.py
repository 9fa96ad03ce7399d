"""What every kind of adapter can do.

Shapes: B batch, R rank, O and I a layer's outputs and inputs.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from ..config.network import NetworkConfig


class Target(Protocol):
    """The layer an adapter is for; see `families.base.Target`."""

    @property
    def name(self) -> str: ...
    @property
    def module(self) -> nn.Module: ...
    @property
    def part(self) -> str: ...
    @property
    def block(self) -> int | None: ...
    @property
    def stored_as_convolution(self) -> bool: ...
    @property
    def role(self) -> str: ...


@dataclass(frozen=True)
class Size:
    rank: int
    alpha: float


class AdapterModule(nn.Module):
    """What is trained for one layer. Attached, it adds to the layer's output; merged, to its weight.

    Its parameters and buffers, under their names, are what stands in a file.
    """

    FILE_KEYS: ClassVar[tuple[str, ...]]
    """What a module's tensors in a file can be called. The first one tells the kind."""
    FASTER: ClassVar[tuple[str, ...]] = ()
    """Of these, the ones that LoRA+ trains at a higher rate."""
    FLAT: ClassVar[tuple[str, ...]] = ()
    """Of these, the ones that stay matrices where files hold the layer as a convolution."""
    PREFIX: ClassVar[str] = "lora_"
    """What a module's name begins with in a file."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._layer = (target.module,)  # in a tuple, so that it does not become a part of this module
        self._stored_as_convolution = target.stored_as_convolution and target.module.weight.ndim == 2
        self._handle: Any = None

    @classmethod
    @abstractmethod
    def make(cls, target: Target, size: Size, network: NetworkConfig, seed: int) -> AdapterModule:
        """A fresh one, which changes nothing yet."""

    @classmethod
    @abstractmethod
    def size_in_file(cls, tensors: Mapping[str, Tensor]) -> Size:
        """The rank and alpha of a module in a file."""

    @classmethod
    @abstractmethod
    def delta_in_file(cls, tensors: Mapping[str, Tensor], weight: Tensor | None = None) -> Tensor:
        """What a module in a file adds to its layer's weight, in float32, in the weight's shape or one with as many
        numbers.

        weight: the layer's. Raises ValueError where the kind needs it and it is not given.
        """

    @classmethod
    def bias_in_file(cls, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """What it adds to its layer's bias; most kinds leave it alone."""
        return None

    @classmethod
    def settings_in_file(cls, tensors: Mapping[str, Tensor], shape: torch.Size) -> dict[str, object]:
        """Settings of NetworkConfig that a module for a weight of this shape must have been made with, as its tensors
        tell."""
        return {}

    @classmethod
    def is_of(cls, name: str, tensors: Mapping[str, Tensor]) -> bool:
        """Whether a module of a file, under the name it has there, is of this kind."""
        return name.startswith(cls.PREFIX) and set(tensors) <= set(cls.FILE_KEYS) and cls.FILE_KEYS[0] in tensors

    @abstractmethod
    def change(self, x: Tensor) -> Tensor | None:
        """What is added to the layer's output for the input x, or None for nothing this time."""

    @abstractmethod
    def limit_norm(self, limit: float) -> tuple[Tensor, Tensor]:
        """Shrinks the change of the weight to the norm `limit`. Returns the norm then, and the factor; both stay on
        the device."""

    @property
    def layer(self) -> nn.Module:
        return self._layer[0]

    def attach(self) -> None:
        if self._handle is None:
            self._handle = self.layer.register_forward_hook(self._add)

    def detach(self) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _add(self, _layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        change = self.change(inputs[0])
        return output if change is None else output + change.to(output.dtype)

    def file_tensors(self) -> dict[str, Tensor]:
        """The tensors as files hold them."""
        return {key: self._to_file(key, value) for key, value in self.state_dict().items()}

    def training_tensors(self) -> dict[str, Tensor]:
        """The tensors as a saved state holds them, of which the training can go on exactly."""
        return self.file_tensors()

    def load_file_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Raises ValueError where a tensor is missing, not trained here, or of another shape."""
        self._take(self.state_dict(), tensors)

    def load_training_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        self.load_file_tensors(tensors)

    def _take(self, wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
        for key in tensors:
            if key not in wanted:
                raise ValueError(f"has {key}, which is not trained here")
        for key, own in wanted.items():
            if key not in tensors:
                raise ValueError(f"has no {key}")
            shape = self._to_file(key, own).shape
            if shape != tensors[key].shape and own.shape != tensors[key].shape:
                raise ValueError(f"has {key} of shape {tuple(tensors[key].shape)} where {tuple(shape)} is wanted")
            own.copy_(tensors[key].reshape(own.shape))

    def _to_file(self, key: str, value: Tensor) -> Tensor:
        as_convolution = self._stored_as_convolution and value.ndim == 2 and key not in self.FLAT
        return value[:, :, None, None] if as_convolution else value
