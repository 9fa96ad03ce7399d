"""The presets that come with the program: each loads as it is, without a word to be said about it."""

import json
from pathlib import Path

import pytest

from sd_scripts.config import load

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "presets").glob("*/*.json"))


def read(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8"))


def test_there_are_presets_for_what_people_train():
    names = {file.stem for file in FILES}
    assert {
        "SD1_character", "SD1_style", "SD1_object", "SD1_anime", "SD1_low_VRAM", "SD1_Prodigy", "SD1_LoCon",
        "SD1_quick_trial", "SD1_few_pictures", "SD2_768_v",
    } <= names  # fmt: skip


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_preset_is_a_description_and_settings(file):
    content = read(file)
    assert set(content) == {"description", "settings"}
    assert content["description"].endswith(".")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_preset_loads_without_a_problem_or_a_notice(file):
    loaded = load.from_flat(read(file)["settings"])
    assert [str(problem) for problem in loaded.problems] == []
    assert loaded.config is not None


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_preset_is_kept_as_it_is_written(file):
    """What is read back is what stands in the file, so nothing was bent on the way."""
    settings = read(file)["settings"]
    written = load.to_flat(load.from_flat(settings).unwrap(), all=True)
    assert {key: written[key] for key in settings} == settings


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_preset_leaves_folders_and_secrets_to_its_user(file):
    personal = {"train_data_dir", "output_dir", "logging_dir", "huggingface_token", "wandb_api_key"}
    is_demo = file.stem == "demo"
    assert is_demo or not personal & set(read(file)["settings"])
