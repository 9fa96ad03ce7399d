"""Captions that are encoded once: in memory and in files, for every family, and never stale."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sd_scripts.config.load import from_flat
from sd_scripts.families import text_files

UNET_ONLY = {"network_train_unet_only": True}
MEMORY, DISK = {"cache_text_encoder_outputs": True}, {"cache_text_encoder_outputs_to_disk": True}
FAMILIES = {
    "sd1": ("tiny_model", {}, "red_sd1_te_outputs.npz"),
    "sd2": ("tiny_sd2", {"v2": True}, "red_sd2_te_outputs.npz"),
    "sdxl": ("tiny_sdxl", {"sdxl": True}, "red_te_outputs.npz"),
}


@pytest.fixture
def images(tiny_images: Path, tmp_path: Path) -> Path:
    """Of this test alone, for files are written beside them."""
    return Path(shutil.copytree(tiny_images, tmp_path / "images"))


@pytest.fixture(params=FAMILIES)
def case(request: pytest.FixtureRequest, images: Path) -> tuple[dict[str, Any], Path]:
    fixture, settings, file = FAMILIES[request.param]
    model = {"pretrained_model_name_or_path": str(request.getfixturevalue(fixture)), "train_data_dir": str(images)}
    return {**settings, **model, **UNET_ONLY, "max_train_steps": 2}, images / "1_colour" / file


def test_it_makes_no_difference_to_what_is_learned(case: tuple[dict[str, Any], Path], train: Any) -> None:
    settings, file = case
    live = train(**settings)
    in_memory = train(**settings, **MEMORY)
    weights = in_memory.weights()
    assert "caching" in in_memory.states
    assert in_memory.losses == pytest.approx(live.losses, rel=1e-4)
    assert not file.exists()
    assert train(**settings, **DISK).weights() == weights
    assert file.exists()


@pytest.mark.parametrize("case", ["sd1", "sdxl"], indirect=True)
def test_files_are_read_again_and_made_anew_where_captions_changed(
    case: tuple[dict[str, Any], Path], train: Any
) -> None:
    settings, file = case
    settings = {**settings, "max_train_steps": 1}
    train(**settings, **DISK)
    before = {path: path.stat().st_mtime_ns for path in file.parent.glob("*_te_outputs.npz")}
    assert len(before) == 5
    train(**settings, **DISK)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    (file.parent / "red.txt").write_text("crimson, plain", encoding="utf-8")
    train(**settings, **DISK)
    assert {path for path, time in before.items() if path.stat().st_mtime_ns != time} == {file}
    train(**settings, **DISK, max_token_length=150)
    assert all(path.stat().st_mtime_ns != time for path, time in before.items())


def test_sdxls_file_has_the_fields_of_the_reference(train: Any, images: Path, tiny_sdxl: Path) -> None:
    train(
        pretrained_model_name_or_path=str(tiny_sdxl), sdxl=True, train_data_dir=str(images), max_train_steps=1,
        **UNET_ONLY, **DISK,
    )  # fmt: skip
    with np.load(images / "1_colour" / "red_te_outputs.npz") as stored:
        shapes = {name: stored[name].shape for name in stored if name != "key"}
    assert shapes == {"hidden_state1": (77, 16), "hidden_state2": (77, 32), "pool2": (20,)}


def test_a_file_that_goes_away_during_the_run_is_told(tmp_path: Path) -> None:
    file = tmp_path / "a_te_outputs.npz"
    with pytest.raises(
        Exception, match="The cached caption in .*a_te_outputs.npz was changed or removed during the run; start again."
    ):
        text_files.read(file)


def test_dropped_captions_and_samples_work(train: Any, images: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("red, plain\nsomething else --n blue --w 32 --h 32 --s 2", encoding="utf-8")
    ended = train(
        train_data_dir=str(images), **UNET_ONLY, **MEMORY, caption_dropout_rate=0.5, sample_every_n_steps=3,
        sample_prompts=str(tmp_path / "prompts.txt"),
    )  # fmt: skip
    assert ended.code == 0
    assert len(ended.of("sample")) == 4


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {},
            "cache_text_encoder_outputs: The text encoder is trained, so its outputs can't be cached; turn network_train_unet_only on, or this off.",
        ),
        (
            {"method": "dreambooth"},
            "cache_text_encoder_outputs: The text encoder is trained, so its outputs can't be cached; turn train_text_encoder off, or this.",
        ),
        ({"method": "finetune"}, None),
        (
            {"method": "textual_inversion", "token_string": "sks"},
            "cache_text_encoder_outputs: The text encoder is trained, so its outputs can't be cached; turn this off.",
        ),
        ({"text_encoder_lr": [0]}, None),
        *(
            (
                {**UNET_ONLY, key: value},
                f"{key}: It changes captions each time, so the text encoder's outputs can't be cached; turn one of the two off.",
            )
            for key, value in (
                ("shuffle_caption", True), ("caption_tag_dropout_rate", 0.1), ("token_warmup_step", 3),
                ("enable_wildcard", True),
            )
        ),
    ],
)  # fmt: skip
def test_what_changes_captions_is_refused_before_anything_is_loaded(
    settings: dict[str, Any], sentence: str | None
) -> None:
    found = from_flat({**settings, **MEMORY, "train_data_dir": "x"}).problems
    assert [str(problem) for problem in found if problem.stops] == ([sentence] if sentence else [])


def test_a_dataset_files_own_settings_are_refused_too(train: Any, images: Path, tmp_path: Path) -> None:
    (tmp_path / "data.toml").write_text(
        f'[[datasets]]\n[[datasets.subsets]]\nimage_dir = "{images / "1_colour"}"\nshuffle_caption = true\n'
    )
    ended = train(dataset_config=str(tmp_path / "data.toml"), train_data_dir=None, **UNET_ONLY, **MEMORY)
    assert ended.code == 2
    assert "It changes captions each time" in ended.sentence
    assert "loading" not in ended.states
