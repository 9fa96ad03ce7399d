"""Files of encoded captions: .npz with the fields that sd-scripts has, and our key.

Shapes: T tokens, C channels of all text encoders together, D of the caption as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data import npz
from ..errors import UserError


@dataclass(frozen=True)
class Kept:
    """One caption: token by token, and where the family has it as a whole."""

    text_TC: Tensor
    pooled_D: Tensor | None = None


def file_of(image: Path, family: str) -> Path:
    """The name that sd-scripts gives it for SDXL; other families have their name in it, so that none mix."""
    return image.with_name(f"{image.stem}{'' if family == 'sdxl' else f'_{family}'}_te_outputs.npz")


def stored_key(file: Path) -> str | None:
    """None where the file isn't one of ours, or is torn."""
    try:
        with file.open("rb") as opened, np.load(opened) as stored:
            return str(stored["key"])
    except npz.TORN:
        return None


def read(file: Path) -> Kept:
    """Raises UserError where it is not there any more."""
    try:
        with file.open("rb") as opened, np.load(opened) as stored:
            states = [torch.from_numpy(stored[f"hidden_state{i}"]) for i in (1, 2) if f"hidden_state{i}" in stored]
            pooled = torch.from_numpy(stored["pool2"]) if "pool2" in stored else None
            return Kept(torch.cat(states, -1), pooled)
    except npz.TORN:
        raise UserError(f"The cached caption in {file} was changed or removed during the run; start again.") from None


def write(file: Path, key: str, kept: Kept, widths: Sequence[int]) -> None:
    """Written whole or not at all, in 32 bits. widths: channels of each text encoder. Raises UserError."""
    states = kept.text_TC.float().split(list(widths), -1)
    fields = {f"hidden_state{i}": state.numpy() for i, state in enumerate(states, 1)} | {"key": np.array(key)}
    if kept.pooled_D is not None:
        fields["pool2"] = kept.pooled_D.float().numpy()
    try:
        npz.write(file, fields)
    except OSError as error:
        raise UserError(
            f"Cached captions can't be written to {file.parent}: {error.strerror}; make room there or make it "
            "writable, or turn cache_text_encoder_outputs_to_disk off to keep them in memory."
        ) from error
