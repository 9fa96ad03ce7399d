"""Whole trainings of the model itself, with every way of running them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

UNET, TEXT, VAE = "model.diffusion_model.", "cond_stage_model.", "first_stage_model."
METHODS = ["dreambooth", "finetune"]
SMALL = {"learning_rate": 1e-4}
SAVING = {"save_every_n_steps": 2, "save_state": True}


@pytest.fixture
def base(tiny_model: Path, tmp_path: Path) -> dict[str, torch.Tensor]:
    """What the model was before, in the original layout."""
    from sd_scripts.config.load import from_flat
    from sd_scripts.families import load_family

    config = from_flat({"pretrained_model_name_or_path": str(tiny_model)}).unwrap()
    return load_family(config.model, config.precision).original_tensors()


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """Which parts of the model training changed."""
    assert before.keys() == after.keys()
    names = {name for name in before if not torch.equal(before[name], after[name].float())}
    return {part for part in (UNET, TEXT, VAE) if any(name.startswith(part) for name in names)}


PARTS: list[tuple[dict[str, Any], set[str]]] = [
    ({"method": "dreambooth"}, {UNET, TEXT}),
    ({"method": "finetune"}, {UNET}),
    ({"method": "dreambooth", "train_text_encoder": False}, {UNET}),
    ({"method": "finetune", "train_text_encoder": True}, {UNET, TEXT}),
    ({"method": "dreambooth", "text_encoder_lr": 0}, {UNET}),
    ({"method": "dreambooth", "unet_lr": 0}, {TEXT}),
    ({"method": "dreambooth", "stop_text_encoder_training": -1}, {UNET}),
    ({"method": "dreambooth", "stop_text_encoder_training": 1}, {UNET, TEXT}),
]


@pytest.mark.parametrize(("settings", "parts"), PARTS, ids=lambda value: " ".join(sorted(value)))
def test_what_is_trained_is_what_was_asked_for(
    train: Any, base: Any, settings: dict[str, Any], parts: set[str]
) -> None:
    ended = train(**SMALL, **settings, max_train_steps=2)
    assert (ended.code, ended.states[-1]) == (0, "done"), ended.of("failed")
    assert changed(base, ended.weights()) == parts


def test_the_text_encoder_stops_where_it_was_told(train: Any) -> None:
    """By steps and by share alike; after that only the U-Net goes on."""
    settings = {**SMALL, "method": "dreambooth", "save_every_n_steps": 1, "max_train_steps": 3}
    ended = train(**settings, stop_text_encoder_training="34%")
    weights = ended.weights()
    at_1, at_2 = ended.weights("tiny-step00000001.safetensors"), ended.weights("tiny-step00000002.safetensors")
    same = {name for name in at_1 if torch.equal(at_1[name], at_2[name])}
    assert all((name in same) == (not name.startswith(UNET)) for name in at_1)
    assert train(**settings, stop_text_encoder_training=1).weights() == weights


RESUMED: list[tuple[dict[str, Any], tuple[int, ...]]] = [
    ({"method": "dreambooth"}, (2,)),
    ({"method": "finetune", "ema": True, "ema_decay": 0.5}, (2,)),
    ({"method": "dreambooth", "stop_text_encoder_training": 3, "clip_skip": 2}, (2, 4)),
    ({"method": "dreambooth", "fused_backward_pass": True, "optimizer_type": "AdaFactor"}, (2,)),
    ({"method": "dreambooth", "fused_optimizer_groups": 3, "optimizer_type": "AdamW8bit"}, (2,)),
    ({"method": "finetune", "gradient_accumulation_steps": 2, "cache_latents": True}, (2,)),
    ({"method": "finetune", "mixed_precision": "bf16", "full_bf16": True, "gradient_checkpointing": True}, (2,)),
]


@pytest.mark.parametrize(("settings", "steps"), RESUMED, ids=[" ".join(map(str, case.values())) for case, _ in RESUMED])
def test_a_resumed_training_ends_in_the_same_weights(
    train: Any, settings: dict[str, Any], steps: tuple[int, ...]
) -> None:
    """Step 2 stands in the middle of an epoch of three, or at its end where two batches are a step."""
    moving = {**SMALL, "lr_scheduler": "cosine", "shuffle_caption": True}
    settings = {**moving, "max_train_steps": steps[-1] + 2, **settings}
    whole = train(**SAVING, **settings)
    assert whole.states[-1] == "done", whole.of("failed")
    weights = whole.weights()
    for step in steps:
        resumed = train(**settings, resume=str(whole.output / f"tiny-step0000000{step}-state"))
        assert resumed.of("start")[0]["resumed_step"] == step
        assert weights == resumed.weights()


@pytest.mark.parametrize("optimizer", ["AdaFactor", "AdamW", "AdamW8bit", "Lion", "AdamWScheduleFree"])
def test_fused_steps_are_the_steps(train: Any, optimizer: str) -> None:
    """Where gradients are not clipped: each is clipped by itself there, and all together here."""
    settings = {**SMALL, "method": "dreambooth", "optimizer_type": optimizer, "max_grad_norm": 0, "max_train_steps": 2}
    plain = train(**settings)
    weights = plain.weights()
    for fused in ({"fused_backward_pass": True}, {"fused_optimizer_groups": 4}):
        other = train(**settings, **fused)
        assert other.states[-1] == "done", other.of("failed")
        assert other.weights() == weights
        if optimizer != "AdaFactor":
            assert [event["lr"] for event in other.of("step")] == [event["lr"] for event in plain.of("step")]


def test_a_moving_average_is_saved_and_follows_the_weights(train: Any, base: Any) -> None:
    """With decay d and n steps done, a <- a + (1 - min(d, (1 + n) / (10 + n))) (w - a)."""
    settings = {**SMALL, "method": "finetune", "save_every_n_steps": 1, "max_train_steps": 3}
    plain = train(**settings)
    steps = [plain.weights(f"tiny-step0000000{n}.safetensors") for n in (1, 2, 3)]
    averaged = train(**settings, ema=True, ema_decay=0.15)
    name = UNET + "out.2.weight"
    average = base[name]
    for weights, share in zip(steps, (0.9, 1 - 0.15, 1 - 0.15), strict=True):
        average = average + share * (weights[name] - average)
    torch.testing.assert_close(averaged.weights()[name], average, rtol=1e-5, atol=1e-7)
    assert averaged.losses == plain.losses


def test_half_precision_rounds_only_what_is_computed_with(train: Any, base: Any) -> None:
    """What is not trained is saved as it was."""
    weights = train(**SMALL, method="finetune", mixed_precision="bf16", max_train_steps=2).weights()
    assert changed(base, weights) == {UNET}
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("settings", "dtype"),
    [
        ({"save_precision": "fp16"}, torch.float16),
        ({"mixed_precision": "bf16", "full_bf16": True}, torch.bfloat16),
        ({"mixed_precision": "bf16", "full_bf16": True, "save_precision": "float"}, torch.float32),
    ],
    ids=["fp16", "full", "float"],
)
def test_the_file_has_the_precision_asked_for(train: Any, settings: dict[str, Any], dtype: torch.dtype) -> None:
    weights = train(**SMALL, method="dreambooth", max_train_steps=2, **settings).weights()
    assert {tensor.dtype for tensor in weights.values()} == {dtype}


@pytest.mark.parametrize("layout", ["ckpt", "diffusers", "diffusers_safetensors"])
def test_every_layout_is_saved_and_old_ones_go(train: Any, layout: str) -> None:
    ended = train(
        **SMALL, method="finetune", save_model_as=layout, save_every_n_epochs=1, save_last_n_epochs=1, max_train_epochs=3,
        max_train_steps=None, train_batch_size=5,
    )  # fmt: skip
    ending = "" if layout.startswith("diffusers") else f".{layout}"
    assert [Path(event["file"]).name for event in ended.of("saved")] == [
        f"tiny-000001{ending}", f"tiny-000002{ending}", f"tiny{ending}",
    ]  # fmt: skip
    assert not (ended.output / f"tiny-000001{ending}").exists() and (ended.output / f"tiny{ending}").exists()


def test_a_saved_model_is_trained_on(train: Any, base: Any) -> None:
    first = train(**SMALL, method="dreambooth", max_train_steps=2, output_name="first")
    again = train(
        **SMALL, method="finetune", max_train_steps=1, pretrained_model_name_or_path=first.output / "first.safetensors"
    )
    assert changed(first.weights("first.safetensors"), again.weights()) == {UNET}


def test_a_folder_of_other_things_is_said_before_training(train: Any, tmp_path: Path) -> None:
    (tmp_path / "out" / "tiny").mkdir(parents=True)
    (tmp_path / "out" / "tiny" / "letter.txt").write_text("mine")
    ended = train(**SMALL, method="finetune", save_model_as="diffusers")
    assert "holds something other than a model, which saving would replace" in ended.sentence
    assert "training" not in ended.states


def test_metadata_tells_of_a_whole_model(train: Any) -> None:
    ended = train(**SMALL, method="finetune", max_train_steps=1, metadata_title="Ball")
    with safe_open(ended.output / "tiny.safetensors", "pt") as file:
        metadata = file.metadata()
    assert metadata["modelspec.architecture"] == "stable-diffusion-v1"
    assert metadata["modelspec.title"] == "Ball" and metadata["ss_steps"] == "1"
    assert not [key for key in metadata if key.startswith("ss_network")]
    assert metadata["ss_optimizer"].startswith("torch.optim.adamw.AdamW")


def test_samples_are_drawn_with_what_is_trained(train: Any) -> None:
    settings = {
        "sample_prompts": "a red ball --d 1 --w 32 --h 32 --s 2",
        "sample_every_n_steps": 1,
        "sample_at_first": True,
    }
    ended = train(method="finetune", learning_rate=1e-2, max_train_steps=2, **settings)
    pictures = [(ended.run / event["file"]).read_bytes() for event in ended.of("sample")]
    assert len(set(pictures)) == 3
    averaged = train(method="finetune", learning_rate=1e-2, max_train_steps=2, ema=True, ema_decay=0.9, **settings)
    others = [(averaged.run / event["file"]).read_bytes() for event in averaged.of("sample")]
    assert others[0] == pictures[0] and others[2] != pictures[2]


@pytest.mark.parametrize("method", METHODS)
def test_settings_of_networks_change_nothing(train: Any, method: str) -> None:
    """They are hidden, and may be left over from another method."""
    common = {**SMALL, "method": method, "max_train_steps": 2, "mixed_precision": "bf16"}
    left_over = {"network_dim": 9, "fp8_base": True, "scale_weight_norms": 0.1, "network_train_unet_only": True}
    assert train(**common).weights() == train(**common, **left_over).weights()


@pytest.mark.parametrize(("stop", "is_trained"), [(0, False), ("-1", False), (1, True)])
def test_a_networks_text_encoder_stops_in_the_same_way(train: Any, stop: Any, is_trained: bool) -> None:
    weights = train(max_train_steps=2, network_dim=2, stop_text_encoder_training=stop).weights()
    ups = [tensor for name, tensor in weights.items() if name.startswith("lora_te") and "lora_up" in name]
    assert any(tensor.abs().max() > 0 for tensor in ups) == is_trained


def test_a_text_encoder_that_has_stopped_stays_so_after_a_resume(train: Any) -> None:
    settings = {"network_dim": 2, "stop_text_encoder_training": 1, "max_train_steps": 4}
    whole = train(**settings, save_every_n_steps=2, save_state=True)
    weights = whole.weights()
    assert weights == train(**settings, resume=str(whole.output / "tiny-step00000002-state")).weights()
