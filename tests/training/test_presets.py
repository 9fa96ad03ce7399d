"""Every preset in a real training, with its sizes scaled to the tiny model: it ends, and saves what it says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

FILES = sorted((Path(__file__).parents[2] / "presets" / "lora").glob("*.json"))
SMALL = {
    "mixed_precision", "resolution", "max_bucket_reso", "min_bucket_reso", "bucket_reso_steps", "max_train_epochs",
    "max_train_steps", "save_every_n_epochs", "save_every_n_steps", "max_data_loader_n_workers",
    "persistent_data_loader_workers", "pretrained_model_name_or_path", "train_data_dir", "output_dir", "output_name",
    "run_dir", "v2", "sample_every_n_epochs", "sample_every_n_steps", "sample_at_first", "sample_prompts",
    "logging_dir",
}  # fmt: skip
"""What a test decides itself: sizes, lengths, places, and that the model is of SD 1.x or XL. All other settings
are the preset's."""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_preset_trains_to_its_end(train: Any, file: Path, tiny_sdxl: Path, tiny_images: Path, tmp_path: Path) -> None:
    settings = json.loads(file.read_text(encoding="utf-8"))["settings"]
    kept = {key: value for key, value in settings.items() if key not in SMALL}
    if settings.get("sdxl"):
        kept["pretrained_model_name_or_path"] = str(tiny_sdxl)
    if settings.get("fp8_base_unet"):
        kept["mixed_precision"] = "bf16"
    if settings.get("cache_text_encoder_outputs_to_disk"):
        kept["train_data_dir"] = str(shutil.copytree(tiny_images, tmp_path / "images"))
    ended = train(**{"learning_rate": None, **kept}, max_train_steps=3)
    assert (ended.code, ended.states[-1]) == (0, "done"), ended.of("failed")
    weights = ended.weights()
    assert any(tensor.abs().max() > 0 for name, tensor in weights.items() if "lora_up" in name)
    assert ("lora_te" in "".join(weights)) == (not settings.get("network_train_unet_only", False))
    assert any("conv1" in name for name in weights) == ("conv_dim" in settings)
