"""Files of cached latents: .npz with the fields that sd-scripts knows, and our key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from . import npz
from .buckets import conditioning_crop
from .records import ImageRecord


class CacheProblem(UserError):
    """Latents can't be kept where they were asked to be."""


@dataclass(frozen=True)
class Kept:
    """The latents of one image, CHW, and its mask, HW 0..255 in pixels."""

    latents: Tensor
    flipped: Tensor | None = None
    mask: Tensor | None = None


def stored_key(file: Path) -> str | None:
    """None where the file isn't one of ours, or is torn."""
    try:
        with file.open("rb") as opened, np.load(opened) as stored:
            return str(stored["key"]) if "latents" in stored else None
    except npz.TORN:
        return None


def read(file: Path, key: str | None) -> Kept | None:
    """What the file holds, or None where it is missing, torn or has another key than the one asked for."""
    try:
        with file.open("rb") as opened, np.load(opened) as stored:
            if key is not None and str(stored["key"]) != key:
                return None
            mask = (
                torch.from_numpy(stored["alpha_mask"]).mul(255).round().to(torch.uint8)
                if "alpha_mask" in stored
                else None
            )
            flipped = torch.from_numpy(stored["latents_flipped"]) if "latents_flipped" in stored else None
            return Kept(torch.from_numpy(stored["latents"]), flipped, mask)
    except npz.TORN:
        return None


def write(file: Path, key: str, record: ImageRecord, kept: Kept) -> None:
    """Written whole or not at all. Raises CacheProblem."""
    left, top = conditioning_crop(record.size, record.bucket)
    width, height = record.bucket
    fields: dict[str, Any] = {
        "latents": kept.latents.numpy(),
        "original_size": np.array(record.size),
        "crop_ltrb": np.array([left, top, width - left, height - top]),
        "key": np.array(key),
    }
    if kept.flipped is not None:
        fields["latents_flipped"] = kept.flipped.numpy()
    if kept.mask is not None:
        fields["alpha_mask"] = kept.mask.numpy().astype(np.float32) / 255
    try:
        npz.write(file, fields)
    except OSError as error:
        advice = "make room there or make it writable, or turn cache_latents_to_disk off to keep them in memory"
        raise CacheProblem(f"Cached latents can't be written to {file.parent}: {error.strerror}; {advice}.") from error
