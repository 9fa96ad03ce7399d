"""Captions that were encoded once and are kept, because the text encoders no longer change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .base import Condition

if TYPE_CHECKING:
    from .base import ModelFamily


@dataclass(frozen=True)
class Kept:
    """One caption: token by token, and where the family has it as a whole."""

    text_TC: Tensor
    pooled_D: Tensor | None = None


@dataclass
class KeptTexts:
    """Gives back what was encoded, and encodes and keeps what is asked for the first time."""

    known: dict[str, Kept] = field(default_factory=dict)

    def of(self, captions: Sequence[str], family: ModelFamily) -> Condition:
        missing = [caption for caption in dict.fromkeys(captions) if caption not in self.known]
        if missing:
            self.keep(missing, family)
        return _together([self.known[caption] for caption in captions])

    def keep(self, captions: Sequence[str], family: ModelFamily) -> None:
        """Encodes them where the U-Net is, wherever the text encoders wait."""
        homes = [next(encoder.parameters()).device for encoder in family.text_encoders]
        for encoder in family.text_encoders:
            encoder.to(family.device)
        with torch.no_grad():
            found = family.encode_captions(captions)
        for encoder, home in zip(family.text_encoders, homes, strict=True):
            encoder.to(home)
        pooled = [None] * len(captions) if found.pooled_BD is None else found.pooled_BD.cpu().unbind()
        for caption, text_TC, pooled_D in zip(captions, found.text_BTC.cpu().unbind(), pooled, strict=True):
            self.known[caption] = Kept(text_TC.clone(), None if pooled_D is None else pooled_D.clone())


def _together(kept: Sequence[Kept]) -> Condition:
    pooled = [one.pooled_D for one in kept if one.pooled_D is not None]
    return Condition(torch.stack([one.text_TC for one in kept]), torch.stack(pooled) if pooled else None)
