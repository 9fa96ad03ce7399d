"""Captions that each attention network of a U-Net reads in its own way (XTI, or P+).

Source: Voynov et al., "P+: Extended Textual Conditioning in Text-to-Image Generation" (2023).
Shapes: L attention networks, B captions, T tokens, C channels.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from ..families.base import Condition, ModelFamily

PLACE = re.compile(r"(?:(down|up)_blocks\.(\d+)|mid_block)\.attentions\.(\d+)")
LAYERS_OF_A_BLOCK = 3


def names(unet: nn.Module) -> dict[str, str]:
    """Name in a file -> path of the attention network, from the first to the last. The names are the original layout's
    for the U-Net's blocks: IN01 to IN11, MID, OUT00 to OUT11. 1.x and 2.x have 16 of them, XL has 11."""
    places = {path: found for path, _ in unet.named_modules() if (found := PLACE.fullmatch(path))}
    return dict(sorted((_name(found), path) for path, found in places.items()))


def _name(place: re.Match[str]) -> str:
    third, block, layer = place.groups()
    if third is None:
        return "MID"
    number = LAYERS_OF_A_BLOCK * int(block) + int(layer)
    return f"IN{number + 1:02}" if third == "down" else f"OUT{number:02}"


def separate(unet: nn.Module, paths: Sequence[str]) -> None:
    """From now on each of these attention networks reads its own part of what the U-Net is told: (B, L T, C)."""
    for place, path in enumerate(paths):
        unet.get_submodule(path).register_forward_pre_hook(partial(_own, place, len(paths)), with_kwargs=True)


def _own(place: int, layers: int, _: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    text_BTC = named["encoder_hidden_states"].chunk(layers, dim=1)[place]
    return args, {**named, "encoder_hidden_states": text_BTC}


def side_by_side(texts_BTC: Tensor, layers: int) -> Tensor:
    """Captions that were encoded for one layer after the other, (L B, T, C) -> (B, L T, C)."""
    return texts_BTC.unflatten(0, (layers, -1)).transpose(0, 1).flatten(1, 2)


class LayerReader:
    """Encodes captions once for each layer, as if each stood there L times. What they say as a whole goes to no layer
    of its own, so that it is the mean of what they say to each."""

    def __init__(self, layers: int) -> None:
        self._layers = layers

    def of(self, captions: Sequence[str], family: ModelFamily) -> Condition:
        found = family.encode_captions([*captions] * self._layers)
        pooled_BD = found.pooled_BD
        if pooled_BD is not None:
            pooled_BD = pooled_BD.unflatten(0, (self._layers, -1)).mean(0)
        return replace(found, text_BTC=side_by_side(found.text_BTC, self._layers), pooled_BD=pooled_BD)
