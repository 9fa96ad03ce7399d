"""What the page's handlers answer to a form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kohya_gui import presets, values
from kohya_gui.layout import TRAIN_LORA
from kohya_gui.runs.store import RunStore
from kohya_gui.runs.supervisor import Supervisor
from kohya_gui.train_page import TrainPage


@pytest.fixture
def opening(tmp_path: Path) -> presets.Preset:
    folder = tmp_path / "images" / "3_thing"
    folder.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(folder / "a.png")
    settings = {
        "train_data_dir": str(folder.parent),
        "resolution": "64,64",
        "min_bucket_reso": 64,
        "max_train_steps": 5,
    }
    return presets.Preset("", "", {**settings, "seed": 1})


@pytest.fixture
def train(supervisor: Supervisor, opening: presets.Preset, tmp_path: Path) -> TrainPage:
    return TrainPage(TRAIN_LORA, supervisor, tmp_path / "presets", opening)


def form(train: TrainPage, **changed: Any) -> list[Any]:
    """The widgets' values as a browser sends them."""
    flat = {key: value for key, value in changed.items() if key in {p.key for p in train.parameters}}
    return values.widget_values(train.parameters, {**train.opening.settings, **flat})


def test_a_right_form_is_planned_and_started(train: TrainPage, store: RunStore) -> None:
    assert "3 samples" in train.plan(*form(train))
    *_, said, run = train.start(*form(train))
    assert said == ""
    assert store.settings(run)["max_train_steps"] == 5
    supervised = store.process(run)[0]
    assert supervised is None or supervised.pid > 0


def test_a_wrong_form_starts_nothing(train: TrainPage, store: RunStore) -> None:
    _, problems, said, run = train.start(*form(train, learning_rate="much"))
    assert "is not a number" in problems
    assert "Nothing was started" in said
    assert (run, store.ids()) == ("", [])


def test_a_folder_without_images_starts_nothing(train: TrainPage, store: RunStore, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    *_, said, run = train.start(*form(train, train_data_dir=str(tmp_path / "empty")))
    assert 'class="problem"' in said
    assert (run, store.ids()) == ("", [])


def test_secrets_are_in_no_preset_no_stored_form_and_no_printed_command(train: TrainPage) -> None:
    filled = form(train, huggingface_token="hf_x")
    stored = train.check(*filled)[-1]
    train.save_preset("mine", "", False, *filled)
    preset = (train.preset_root / "lora" / "user" / "mine.json").read_text(encoding="utf-8")
    command = train.command(*filled)["value"]
    assert "hf_x" not in json.dumps(stored) + preset + command
    assert train.preset_names() == ["mine (mine)"]


def test_a_preset_replaces_the_whole_form(train: TrainPage) -> None:
    train.save_preset("mine", "For things.", False, *form(train, network_dim="24"))
    answer = train.load_preset("mine (mine)")
    shown = dict(zip([p.key for p in train.parameters], answer, strict=False))
    assert shown == dict(zip([p.key for p in train.parameters], form(train, network_dim="24"), strict=True))
    assert "For things." in answer[-1]
    assert "Choose a preset" in train.load_preset("none")[-1]


def test_what_a_preset_sets_without_a_field_is_said(train: TrainPage) -> None:
    answer = train.filled(presets.Preset("", "", {"method": "dreambooth", "run_dir": "x"}))
    assert "The preset is for dreambooth; this page trains lora." in answer[-1]
    assert "The app chooses it for each run" in answer[-1]


def test_a_reload_brings_the_form_back_as_it_was_typed(train: TrainPage) -> None:
    filled = form(train, learning_rate="much", network_dim="24")
    stored = json.loads(json.dumps(train.check(*filled)[-1]))
    restored = dict(zip([p.key for p in train.parameters], train.restore(stored), strict=False))
    assert restored["learning_rate"] == "much"
    assert restored["network_dim"] == "24"
    assert isinstance(restored["seed"], dict), "what did not change is not sent again"


@pytest.mark.parametrize("stored", [None, {}, {"settings": {}}, {"opened_with": {"seed": 2}, "settings": {"seed": 3}}])
def test_a_form_kept_for_another_opening_is_forgotten(train: TrainPage, stored: object) -> None:
    assert all(isinstance(answer, dict) for answer in train.restore(stored))
