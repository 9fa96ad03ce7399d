"""Presets: read, checked, written; and what is said where they are wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from kohya_gui import presets
from kohya_gui.app import PRESETS
from sd_scripts.config import load
from sd_scripts.errors import UserError


def write(folder: Path, content: object, name: str = "mine.json") -> Path:
    file = folder / name
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return file


def test_a_preset_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    settings = {"learning_rate": 0.0, "max_grad_norm": 0, "network_dim": 8, "optimizer_args": ["betas=(0.9, 0.99)"]}
    file = presets.write(tmp_path, "lora", "my first", "A test.", settings)
    assert file == tmp_path / "lora" / "user" / "my first.json"
    assert json.loads(file.read_text()) == {"description": "A test.", "settings": settings}
    found = presets.read(file)
    assert (found.settings, found.description, found.notices) == (settings, "A test.", [])
    assert presets.available(tmp_path, "lora") == {"my first (mine)": file}


@pytest.mark.parametrize(("name", "sentence"), [
    ("", "Give the preset a name."),
    ("../evil", "'../evil' can't be the name of a file; use letters, digits, blanks, - and _."),
    (".hidden", "'.hidden' can't be the name of a file; use letters, digits, blanks, - and _."),
])  # fmt: skip
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str, sentence: str) -> None:
    with pytest.raises(presets.BadPreset) as error:
        presets.write(tmp_path, "lora", name, "", {})
    assert str(error.value) == sentence


def test_a_name_with_an_ending_is_taken_without_it(tmp_path: Path) -> None:
    assert presets.write(tmp_path, "lora", "my.json", "", {}).name == "my.json"


def test_an_existing_preset_is_replaced_only_where_that_is_asked_for(tmp_path: Path) -> None:
    presets.write(tmp_path, "lora", "a", "one", {})
    with pytest.raises(presets.BadPreset) as error:
        presets.write(tmp_path, "lora", "a", "two", {})
    assert str(error.value) == "There is a preset 'a' already; choose another name, or tick the box to replace it."
    presets.write(tmp_path, "lora", "a", "two", {}, replace=True)
    assert presets.read(tmp_path / "lora" / "user" / "a.json").description == "two"


@pytest.mark.parametrize(("content", "sentence"), [
    ("{broken", r"mine\.json is not valid JSON \(.*line 1.*\); repair it or choose another file\."),
    ("[1, 2]", r"mine\.json holds no settings; a preset is a JSON object of keys and values\."),
])  # fmt: skip
def test_a_file_that_is_no_preset_is_refused_in_words(tmp_path: Path, content: str, sentence: str) -> None:
    with pytest.raises(presets.BadPreset) as error:
        presets.read(write(tmp_path, content))
    assert re.fullmatch(sentence, str(error.value))


def test_what_a_preset_holds_wrong_is_said_and_left_out(tmp_path: Path) -> None:
    settings = {"learning_rat": 1, "learning_rate": "much", "network_dim": "16", "mixed_precision": "fp17"}
    found = presets.read(write(tmp_path, {"settings": settings}))
    assert found.settings == {"network_dim": 16}
    said = {notice.key: notice.message for notice in found.notices}
    assert said["learning_rat"] == "There is no such setting. Did you mean learning_rate?"
    assert said["learning_rate"] == "'much' is not a number. The preset's value was left out."
    assert said["mixed_precision"].endswith("The preset's value was left out.")


def test_a_secret_in_a_preset_is_not_taken(tmp_path: Path) -> None:
    found = presets.read(write(tmp_path, {"settings": {"huggingface_token": "hf_x"}}))
    assert found.settings == {}
    assert found.notices[0].message == "The preset holds a secret, which is not taken from files; type it in."
    assert "hf_x" not in str(found)


def test_a_settings_file_of_the_engine_is_a_preset_too(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[optimizer]\nlearning_rate = 5e-5\n[other]\nseed = 7\n", encoding="utf-8")
    assert presets.read(file).settings == {"learning_rate": 5e-5, "seed": 7}


@pytest.mark.parametrize("file", sorted(PRESETS.glob("*/*.json")), ids=lambda file: file.stem)
def test_a_preset_of_ours_says_what_it_is_for_and_has_nothing_wrong(file: Path) -> None:
    found = presets.read(file)
    assert found.description
    assert found.notices == []
    assert [problem for problem in load.from_flat(found.settings).problems if problem.stops] == []


def test_all_that_can_go_wrong_is_a_users_error() -> None:
    assert issubclass(presets.BadPreset, UserError)


@pytest.mark.parametrize(("content", "method"), [
    ({"LoRA_type": "Standard", "network_dim": 8}, "lora"),
    ({"token_string": "cat", "init_word": "animal"}, "textual_inversion"),
    ({"train_dir": "/data", "image_folder": "/data/img"}, "finetune"),
    ({"stop_text_encoder_training": 0, "learning_rate": 1e-5}, "dreambooth"),
    ({"token_string": "", "network_dim": 8}, "lora"),
    ({"learning_rate": 1e-5}, None),
])  # fmt: skip
def test_a_file_of_kohya_ss_is_for_the_method_whose_keys_it_has(content: dict[str, object], method: str | None) -> None:
    assert presets.from_text("old.json", json.dumps(content)).settings.get("method") == method


def test_a_trained_file_is_a_preset() -> None:
    found = presets.from_trained_file("bloop.safetensors", {"ss_network_dim": "8", "ss_seed": "3", "other": "x"})
    assert found.settings["network_dim"] == 8 and found.settings["seed"] == 3
    assert any(notice.key == "train_data_dir" for notice in found.notices)


def test_a_trained_file_that_tells_nothing_is_refused() -> None:
    with pytest.raises(presets.BadPreset) as error:
        presets.from_trained_file("x.safetensors", {"format": "pt"})
    assert str(error.value) == "x.safetensors does not say how it was trained; only files with ss_ metadata do."
