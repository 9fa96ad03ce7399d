"""Captions that were encoded once and are kept, because the text encoders no longer change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from . import text_files
from .base import Condition
from .text_files import Kept

if TYPE_CHECKING:
    from .base import ModelFamily


@dataclass
class KeptTexts:
    """Gives back what was encoded before, and encodes and keeps what is asked for the first time, such as prompts.

    known: caption -> what it says. files: captions that are kept in files in place of memory.
    """

    known: dict[str, Kept] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)

    def of(self, captions: Sequence[str], family: ModelFamily) -> Condition:
        missing = [text for text in dict.fromkeys(captions) if text not in self.known and text not in self.files]
        if missing:
            self.known |= encoded(missing, family)
        return _together([self._get(caption) for caption in captions])

    def _get(self, caption: str) -> Kept:
        return self.known[caption] if caption in self.known else text_files.read(self.files[caption])


def encoded(captions: Sequence[str], family: ModelFamily) -> dict[str, Kept]:
    """Encodes them where the U-Net is, wherever the text encoders wait."""
    homes = [next(encoder.parameters()).device for encoder in family.text_encoders]
    for encoder in family.text_encoders:
        encoder.to(family.device)
    with torch.no_grad():
        found = family.encode_captions(captions)
    for encoder, home in zip(family.text_encoders, homes, strict=True):
        encoder.to(home)
    pooled = [None] * len(captions) if found.pooled_BD is None else found.pooled_BD.cpu().unbind()
    kept = zip(captions, found.text_BTC.cpu().unbind(), pooled, strict=True)
    return {caption: Kept(one.clone(), None if pool is None else pool.clone()) for caption, one, pool in kept}


def _together(kept: Sequence[Kept]) -> Condition:
    pooled = [one.pooled_D for one in kept if one.pooled_D is not None]
    return Condition(torch.stack([one.text_TC for one in kept]), torch.stack(pooled) if pooled else None)
