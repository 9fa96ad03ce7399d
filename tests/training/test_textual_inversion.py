"""New words through the one loop: to the end, resumed, sampled, saved on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

WORD = {
    "method": "textual_inversion", "token_string": "bloop", "init_word": "red", "caption_prefix": "bloop,",
    "num_vectors_per_token": 2,
}  # fmt: skip
SAVING = {"save_every_n_steps": 2, "save_state": True}
DRAWING = {"shuffle_caption": True, "flip_aug": True, "lr_scheduler": "cosine", "caption_dropout_rate": 0.3}


@pytest.mark.parametrize(
    "settings", [{}, {"xti": True}, {"cache_latents": True}, {"gradient_accumulation_steps": 2}], ids=str
)
def test_a_resumed_training_ends_in_the_same_vectors(train: Any, settings: dict[str, Any]) -> None:
    settings = {**WORD, **DRAWING, **settings, "max_train_steps": 4}
    whole = train(**settings, **SAVING)
    assert (whole.code, whole.states[-1]) == (0, "done"), whole.of("failed")
    vectors = whole.weights()
    assert vectors != whole.weights("tiny-step00000002.safetensors")
    assert vectors == train(**settings, resume=str(whole.output / "tiny-step00000002-state")).weights()


@pytest.mark.parametrize(
    "settings",
    [
        {"mixed_precision": "bf16"}, {"mixed_precision": "bf16", "full_bf16": True, "xti": True},
        {"mixed_precision": "bf16", "fp8_base": True}, {"gradient_checkpointing": True, "xti": True},
        {"validation_split": 0.4}, {"optimizer_type": "Adafactor"}, {"optimizer_type": "AdamWScheduleFree"},
        {"weighted_captions": True, "max_token_length": 225, "clip_skip": 2}, {"v2": True, "v_parameterization": True},
    ],
    ids=str,
)  # fmt: skip
def test_it_goes_with_what_other_methods_go_with(train: Any, tiny_sd2: Path, settings: dict[str, Any]) -> None:
    model = {"pretrained_model_name_or_path": str(tiny_sd2)} if "v2" in settings else {}
    ended = train(**{**WORD, **settings, **model, "learning_rate": 0.1, "max_train_steps": 2})
    assert (ended.code, ended.states[-1]) == (0, "done"), ended.of("failed")
    assert all(tensor.isfinite().all() for tensor in ended.weights().values())


def test_sentences_are_drawn_again_where_they_were_when_resumed(train: Any) -> None:
    settings = {**WORD, "caption_prefix": None, "use_object_template": True, "max_train_steps": 4}
    whole = train(**settings, **SAVING)
    vectors = whole.weights()
    assert vectors == train(**settings, resume=str(whole.output / "tiny-step00000002-state")).weights()


def test_samples_know_the_word(train: Any) -> None:
    from PIL import Image

    prompts = "bloop --d 1 --s 2 --w 64 --h 64\nred --d 1 --s 2 --w 64 --h 64"
    ended = train(
        **{**WORD, "num_vectors_per_token": 1, "learning_rate": 2.0},
        sample_prompts=prompts,
        sample_at_first=True,
        sample_every_n_steps=2,
        max_train_steps=2,
    )
    pictures = [Image.open(ended.run / event["file"]).tobytes() for event in ended.of("sample")]
    assert len(pictures) == 4
    assert pictures[0] == pictures[1] == pictures[3] and pictures[2] != pictures[0]


def test_files_are_called_as_the_word_and_old_ones_go(train: Any) -> None:
    ended = train(**WORD, output_name=None, save_every_n_steps=2, save_last_n_steps=3)
    names = sorted(file.name for file in ended.output.glob("*.safetensors"))
    assert names == ["bloop-step00000004.safetensors", "bloop-step00000006.safetensors", "bloop.safetensors"]


def test_several_words_are_saved_and_removed_file_by_file(train: Any) -> None:
    settings = {**WORD, "token_string": "bloop gleep", "caption_suffix": "gleep"}
    ended = train(**settings, save_every_n_steps=2, save_last_n_steps=3, save_model_as="pt")
    names = [f"tiny{step}_{word}.pt" for step in ("", "-step00000004", "-step00000006") for word in ("bloop", "gleep")]
    assert sorted(file.name for file in ended.output.glob("*.pt")) == sorted(names)
    assert {event["file"].rpartition("/")[2] for event in ended.of("saved")} >= {"tiny_bloop.pt", "tiny_gleep.pt"}
    assert not torch.equal(*(torch.load(ended.output / f"tiny_{word}.pt")["emb_params"] for word in ("bloop", "gleep")))


def test_captions_without_the_word_stop_it_before_anything_is_loaded(train: Any) -> None:
    ended = train(**{**WORD, "caption_prefix": None})
    assert ended.code == 2 and ended.sentence.startswith("token_string: No caption holds bloop")
    assert "loading" not in ended.states


@pytest.mark.parametrize(
    ("script", "fixed"),
    [
        ("train_textual_inversion", {"method": "textual_inversion"}),
        ("train_textual_inversion_XTI", {"method": "textual_inversion", "xti": True}),
        ("sdxl_train_textual_inversion", {"method": "textual_inversion", "sdxl": True}),
    ],
)
def test_scripts_of_known_names_stand_for_it(script: str, fixed: dict[str, Any]) -> None:
    import subprocess
    import sys

    import tomlkit

    file = Path(__file__).parents[2] / "sd_scripts" / f"{script}.py"
    done = subprocess.run(
        [sys.executable, str(file), "--token_string", "bloop", "--init_word", "red", "--output_config"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    flat = {key: value for section in tomlkit.parse(done.stdout).unwrap().values() for key, value in section.items()}
    assert fixed.items() <= flat.items()
