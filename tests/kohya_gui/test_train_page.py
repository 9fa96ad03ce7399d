"""What the page's handlers answer to a form."""

from __future__ import annotations

import json
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kohya_gui import presets
from kohya_gui.entries import Entries
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
    return TrainPage(supervisor, tmp_path / "presets", opening)


BEFORE = {"name": "", "settings": {}, "own": False}


def form(train: TrainPage, **changed: Any) -> str:
    """The widgets' values as a browser sends them."""
    return json.dumps(list(Entries.of({**train.opening.settings, **changed}).given))


def test_a_right_form_is_planned_and_started(train: TrainPage, store: RunStore) -> None:
    assert "3 samples" in train.plan(form(train))
    said, run = train.start(form(train))
    assert 'class="problem"' not in said
    assert store.settings(run)["max_train_steps"] == 5


def test_a_wrong_form_starts_nothing(train: TrainPage, store: RunStore) -> None:
    wrong = form(train, learning_rate="much")
    said, run = train.start(wrong)
    assert "is not a number" in train.check(wrong, BEFORE)[1]
    assert "Nothing was started" in said
    assert (run, store.ids()) == ("", [])


def test_a_folder_without_images_starts_nothing(train: TrainPage, store: RunStore, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said, run = train.start(form(train, train_data_dir=str(tmp_path / "empty")))
    assert 'class="problem"' in said
    assert (run, store.ids()) == ("", [])


def test_several_values_in_a_field_start_several_runs(train: TrainPage, store: RunStore) -> None:
    several = form(train, learning_rate="1e-4, 5e-5", seed="1, 2")
    marks, problems, *_ = train.check(several, BEFORE)
    assert "&quot;runs&quot;: 4" in marks
    assert "Start makes 4 runs" in problems
    commands = train.command(several)["value"]
    assert (commands.count("sd_scripts.train "), commands.count("--learning_rate=5e-05")) == (4, 2)
    said, run = train.start(several)
    assert "4 runs" in said
    assert {(store.settings(each)["learning_rate"], store.settings(each)["seed"]) for each in store.ids()} == {
        (1e-4, 1), (1e-4, 2), (5e-5, 1), (5e-5, 2),
    }  # fmt: skip
    assert run in store.ids()


def test_secrets_are_in_no_preset_no_stored_form_and_no_printed_command(train: TrainPage) -> None:
    filled = form(train, huggingface_token="hf_x")
    stored = train.check(filled, BEFORE)[-1]
    train.desk.save(filled, "mine", "", False)
    preset = (train.preset_root / "lora" / "user" / "mine.json").read_text(encoding="utf-8")
    downloads = train.desk.as_json(filled, "mine", "") + train.desk.as_toml(filled, "mine")
    command = train.command(filled)["value"]
    marks = train.check(filled, BEFORE)[0]
    assert "hf_x" not in json.dumps(stored) + preset + command + downloads + marks
    assert train.desk.names("lora") == ["mine (mine)"]


def test_settings_of_other_methods_are_kept_in_the_form_and_left_out_of_the_run(train: TrainPage) -> None:
    filled = form(train, network_dim="24", method="dreambooth")
    assert train.check(filled, BEFORE)[-1]["settings"]["network_dim"] == 24
    command = train.command(filled)["value"]
    assert "--method=dreambooth" in command and "network_dim" not in command


def test_additional_parameters_win_over_the_fields(train: TrainPage) -> None:
    filled = form(train, seed="7", additional_parameters="--seed 8 --flip_aug")
    command = train.command(filled)["value"]
    assert "--seed=8" in command and "--flip_aug" in command and "--additional" not in command
    assert "It is 8 in the additional parameters, which counts." in train.check(filled, BEFORE)[1]


def restored(train: TrainPage, stored: object, baseline: object = None, run: str = "") -> Any:
    return json.loads(train.restore(stored, baseline, run))


def test_a_reload_brings_the_form_back_as_it_was_typed(train: TrainPage) -> None:
    filled = form(train, learning_rate="much", network_dim="24", additional_parameters="--seed")
    stored = json.loads(json.dumps(train.check(filled, BEFORE)[-1]))
    assert restored(train, stored)["values"] == {
        "learning_rate": "much", "network_dim": "24", "additional_parameters": "--seed",
    }  # fmt: skip


@pytest.mark.parametrize("stored", [None, {}, {"settings": {}}, {"opened_with": {"seed": 2}, "settings": {"seed": 3}}])
def test_a_form_kept_for_another_opening_is_forgotten(train: TrainPage, stored: object) -> None:
    answer = restored(train, stored, {"name": "old", "settings": {"seed": 4}})
    assert answer["values"] == {}
    assert answer["baseline"]["settings"] == train.opening.settings


def test_a_run_opens_as_a_form_and_can_be_undone(train: TrainPage, store: RunStore) -> None:
    _, run = train.start(form(train, network_dim="12"))
    answer = restored(train, None, run=run)
    assert answer["values"] == {"network_dim": "12"}
    assert run in answer["said"] and "offer-undo" in answer["said"]
    assert answer["baseline"]["own"] is True
    assert "run_dir" not in answer["baseline"]["settings"]
    assert "There is no run" in restored(train, None, run="nowhere")["said"]


def test_what_differs_from_the_preset_is_marked_with_its_old_value(train: TrainPage) -> None:
    marks = train.check(form(train, network_dim="24"), {"settings": {**train.opening.settings, "network_dim": 8}})[0]
    facts = json.loads(unescape(marks.split('data-facts="')[1].split('"')[0]))
    assert facts["changed"] == {"network_dim": "8"}
    assert ":is(#p-network_dim) { --field-changed" in marks
