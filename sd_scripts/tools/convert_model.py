"""Brings a whole model from the original layout into that of diffusers, or back. The numbers stay as they are."""

from __future__ import annotations

from pathlib import Path

import torch

from ..config.model import ModelConfig
from ..config.precision import PrecisionConfig
from ..errors import UserError
from ..families import detect, load_family, saving
from .data_settings import ConvertModelSettings
from .places import Model, open_model
from .tool import Say

LAYOUTS = {".safetensors": "safetensors", ".ckpt": "ckpt"}
IN_MEMORY = {torch.float16: "fp16", torch.bfloat16: "bf16"}
"""What a model is read as, so that no number changes; everything else as 32 bits."""


def run(settings: ConvertModelSettings, say: Say) -> None:
    found = open_model(settings.model_to_load, "model_to_load")
    family = load_family(_description(found), PrecisionConfig(mixed_precision=_precision(found)))
    save_to = Path(settings.model_to_save).expanduser()
    layout = LAYOUTS.get(save_to.suffix, "diffusers_safetensors")
    saving.save_model(family, save_to, layout, settings.save_precision_as, found.files[0].metadata)
    kind = "a diffusers folder" if layout.startswith("diffusers") else "a file in the original layout"
    say(f"Saved {save_to}: the {found.family} model {found.path.name} as {kind}.")


def _description(found: Model) -> ModelConfig:
    velocity = detect.detect(found.path).prediction_type == "v_prediction"
    return ModelConfig(
        pretrained_model_name_or_path=str(found.path),
        v2=found.family == "sd2",
        sdxl=found.family == "sdxl",
        v_parameterization=velocity,
        no_half_vae=False,
    )


def _precision(found: Model) -> str:
    if not found.layers:
        raise UserError(f"model_to_load: {found.path} has no layers that are known; give a complete model.")
    place = next(iter(found.layers.values()))
    return IN_MEMORY.get(place.file.entries[place.key].dtype, "no")
