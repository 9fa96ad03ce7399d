"""Captions that each attention network of a U-Net reads in its own way."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn


class LayerTexts:
    """now: path of an attention network -> what it reads in place of what the U-Net was given.

    It stays as it is until the backward pass is over, in which checkpointed networks read again.
    """

    def __init__(self, unet: nn.Module) -> None:
        self.now: Mapping[str, Tensor] = {}
        for path, module in unet.named_modules():
            if isinstance(module, Transformer2DModel):
                module.register_forward_pre_hook(partial(self._replace, path), with_kwargs=True)

    def _replace(self, path: str, _: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        return (args, {**named, "encoder_hidden_states": self.now[path]}) if path in self.now else None
