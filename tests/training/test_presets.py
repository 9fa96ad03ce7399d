"""Every preset in a real training, with its sizes scaled to a tiny model of its family: it ends, and saves what it says.

benchmarks/presets.py does the same on the starter model.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2] / "presets"
FILES = sorted(file for file in ROOT.glob("*/*.json") if file.parent.name != "user")
SMALL = {
    "resolution", "max_bucket_reso", "min_bucket_reso", "bucket_reso_steps", "enable_bucket", "max_train_epochs",
    "max_train_steps", "save_every_n_epochs", "save_every_n_steps", "max_data_loader_n_workers",
    "persistent_data_loader_workers", "pretrained_model_name_or_path", "train_data_dir", "reg_data_dir", "output_dir",
    "output_name", "run_dir", "logging_dir", "sample_every_n_epochs", "sample_every_n_steps", "sample_at_first",
    "sample_prompts",
}  # fmt: skip
"""What a test decides itself: sizes, lengths and places. All other settings are the preset's."""
BEGIN_AT_ZERO = ("lora_up.weight", "lokr_w2", "lokr_w2_b")


def model_of(settings: Mapping[str, Any]) -> str:
    return "tiny_sdxl" if settings.get("sdxl") else "tiny_sd2" if settings.get("v2") else "tiny_model"


def scaled(settings: dict[str, Any], file: Path) -> dict[str, Any]:
    """One step, or two where the first of a warm-up changes nothing."""
    kept = {"learning_rate": None, **{key: value for key, value in settings.items() if key not in SMALL}}
    if kept.get("mixed_precision") == "fp16":
        kept["mixed_precision"] = "no"  # which no processor computes in
    if file == ROOT / "textual_inversion" / "demo.json":
        kept["caption_prefix"] = settings["token_string"][0]  # the demo's captions hold it
    return {**kept, "max_train_steps": 2 if isinstance(kept.get("lr_warmup_steps"), int) else 1}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name} {file.stem}")
def test_a_preset_trains_to_its_end(
    train: Any, request: pytest.FixtureRequest, file: Path, tiny_images: Path, tmp_path: Path
) -> None:
    settings = json.loads(file.read_text(encoding="utf-8"))["settings"]
    model = request.getfixturevalue(model_of(settings))
    images = shutil.copytree(tiny_images, tmp_path / "images")  # some write caches beside them
    ended = train(**scaled(settings, file), pretrained_model_name_or_path=model, train_data_dir=images)
    assert (ended.code, ended.states[-1]) == (0, "done"), ended.of("failed")
    assert all(math.isfinite(loss) for loss in ended.losses)
    CHECKS[file.parent.name](settings, ended)


def check_network(settings: Mapping[str, Any], ended: Any) -> None:
    weights = ended.weights()
    assert any(tensor.abs().max() > 0 for name, tensor in weights.items() if name.endswith(BEGIN_AT_ZERO))
    assert ("lora_te" in "".join(weights)) == (not settings.get("network_train_unet_only", False))
    assert any("conv1" in name for name in weights) == ("conv_dim" in settings)


def check_model(settings: Mapping[str, Any], ended: Any) -> None:
    trained = {name.rstrip("0123456789_") for event in ended.of("step") for name in event["lr"]}
    with_text = settings.get("train_text_encoder", settings["method"] == "dreambooth")
    assert trained == ({"unet", "text_encoder"} if with_text else {"unet"})
    assert str(next(iter(ended.weights().values())).dtype) == "torch.float16"


def check_words(settings: Mapping[str, Any], ended: Any) -> None:
    weights = ended.weights()
    assert {tensor.shape[0] for tensor in weights.values()} == set(settings["num_vectors_per_token"])
    assert len(weights) == (16 if settings.get("xti") else 2 if settings.get("sdxl") else 1)


CHECKS = {
    "lora": check_network,
    "dreambooth": check_model,
    "finetune": check_model,
    "textual_inversion": check_words,
}
