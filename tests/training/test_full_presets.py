"""Every preset for whole models in a real training, with its sizes scaled to tiny models of its family."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2] / "presets"
FILES = sorted([*ROOT.glob("dreambooth/*.json"), *ROOT.glob("finetune/*.json")])
SMALL = {
    "resolution", "max_bucket_reso", "min_bucket_reso", "bucket_reso_steps", "max_train_epochs", "max_train_steps",
    "save_every_n_epochs", "save_every_n_steps", "max_data_loader_n_workers", "persistent_data_loader_workers",
    "pretrained_model_name_or_path", "train_data_dir", "output_dir", "output_name", "run_dir", "logging_dir",
    "sample_every_n_epochs", "sample_every_n_steps", "sample_at_first", "sample_prompts",
}  # fmt: skip
"""What a test decides itself: sizes, lengths and places. All other settings are the preset's."""


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name} {file.stem}")
def test_a_preset_trains_to_its_end(train: Any, tiny_model: Path, tiny_sd2: Path, tiny_sdxl: Path, file: Path) -> None:
    settings = json.loads(file.read_text(encoding="utf-8"))["settings"]
    model = tiny_sdxl if settings.get("sdxl") else tiny_sd2 if settings.get("v2") else tiny_model
    kept = {key: value for key, value in settings.items() if key not in SMALL}
    ended = train(**kept, pretrained_model_name_or_path=model, max_train_steps=3)
    assert (ended.code, ended.states[-1]) == (0, "done"), ended.of("failed")
    trained = {name.rstrip("0123456789_") for event in ended.of("step") for name in event["lr"]}
    with_text = settings.get("train_text_encoder", settings["method"] == "dreambooth")
    assert trained == ({"unet", "text_encoder"} if with_text else {"unet"})
    assert str(next(iter(ended.weights().values())).dtype) == "torch.float16"
