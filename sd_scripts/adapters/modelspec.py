"""ModelSpec fields of a trained file (Stability AI's Model Metadata Standard, 1.0.1)."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import UserError

VERSION = "1.0.1"
ALL_TIMESTEPS = 1000
ARCHITECTURES = {
    "sd1": "stable-diffusion-v1",
    "sd2": "stable-diffusion-v2-512",
    "sd2_v": "stable-diffusion-v2-768-v",
    "sdxl": "stable-diffusion-xl-v1-base",
}
ORIGINAL_CODE = "https://github.com/Stability-AI/generative-models"
"""Stands for the original layout in the field `implementation`."""
TAKEN_OVER = (
    "author", "description", "license", "tags", "usage_hint", "thumbnail", "merged_from", "trigger_phrase",
    "preprocessor", "is_negative_embedding",
)  # fmt: skip
"""Fields with a setting `metadata_NAME` each."""


@dataclass(frozen=True)
class Kind:
    """What sort of file it is. ending: of its architecture's name; none for a whole model. title: where none is
    given."""

    ending: str
    title: str

    def implementation(self, family: str) -> str:
        return "diffusers" if self.ending == "/lora" and family != "sdxl" else ORIGINAL_CODE


LORA = Kind("/lora", "LoRA")
TEXTUAL_INVERSION = Kind("/textual-inversion", "TextualInversion")
CHECKPOINT = Kind("", "Checkpoint")


def fields(
    settings: Mapping[str, Any],
    family: str,
    resolution: tuple[int, int] | None,
    saved_at: float,
    version: str,
    kind: Kind = LORA,
) -> dict[str, str]:
    """All fields, "modelspec." before each. resolution: of the training, in pixels; None where it is not known."""
    velocity = bool(settings.get("v_parameterization"))
    side = 1024 if family == "sdxl" else 768 if family == "sd2" and velocity else 512
    width, height = resolution or (side, side)
    found = {
        "sai_model_spec": VERSION,
        "architecture": ARCHITECTURES.get(f"{family}_v" if velocity else family, ARCHITECTURES[family]) + kind.ending,
        "implementation": kind.implementation(family),
        "title": settings.get("metadata_title") or settings.get("output_name") or kind.title,
        "date": datetime.fromtimestamp(int(saved_at)).isoformat(),
        "resolution": f"{width}x{height}",
        "prediction_type": "v" if velocity else "epsilon",
        "implementation_version": version,
    }
    for name in TAKEN_OVER:
        if settings.get(f"metadata_{name}"):
            found[name] = str(settings[f"metadata_{name}"])
    if "thumbnail" in found:
        found["thumbnail"] = as_data_url(found["thumbnail"])
    low, high = settings.get("min_timestep") or 0, settings.get("max_timestep") or ALL_TIMESTEPS
    if (low, high) != (0, ALL_TIMESTEPS):
        found["timestep_range"] = f"{low},{high}"
    if settings.get("clip_skip"):
        found["encoder_layer"] = str(settings["clip_skip"])
    return {f"modelspec.{name}": value for name, value in found.items()}


def as_data_url(thumbnail: str) -> str:
    """An image file's content as a data URL; a data URL as it is. Raises UserError where the file can't be read."""
    if thumbnail.startswith("data:"):
        return thumbnail
    try:
        content = base64.b64encode(Path(thumbnail).read_bytes()).decode()
    except OSError:
        raise UserError(f"metadata_thumbnail: {thumbnail} can't be read; give an image file or a data URL.") from None
    return f"data:{mimetypes.guess_type(thumbnail)[0] or 'image/png'};base64,{content}"
