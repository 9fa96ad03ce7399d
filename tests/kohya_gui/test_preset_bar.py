"""What the top of the form answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kohya_gui.app import PRESETS
from kohya_gui.entries import Entries
from kohya_gui.preset_bar import PresetDesk
from sd_scripts.config.methods import METHODS

NOTHING = {"settings": {}}


def form(**settings: object) -> str:
    return json.dumps(list(Entries.of(settings).given))


def said(desk: PresetDesk, form: str, baseline: object, **asked: object) -> str:
    answer = json.loads(desk.offer(form, json.dumps({"number": 7, **asked}), baseline))
    assert answer["number"] == 7
    return str(answer["said"])


@pytest.fixture
def desk(tmp_path: Path) -> PresetDesk:
    return PresetDesk(tmp_path)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_presets_of_its_own(method: str) -> None:
    assert PresetDesk(PRESETS).names(method)


def test_a_preset_is_saved_for_its_method_and_chosen_again(desk: PresetDesk) -> None:
    saved, _ = desk.save(form(method="dreambooth", seed=4, network_dim=24), "mine", "For things.", False)
    assert "Saved as mine.json." in saved
    assert (desk.names("dreambooth"), desk.names("lora")) == (["mine (mine)"], [])
    settings = json.loads((desk.root / "dreambooth" / "user" / "mine.json").read_text())["settings"]
    assert settings == {"method": "dreambooth", "seed": 4}
    offer = said(desk, form(method="dreambooth", seed=9), NOTHING, preset="mine (mine)")
    assert "For things." in offer and "<td><s>9</s></td><td>4</td>" in offer
    assert "Choose a preset" in said(desk, form(), NOTHING, preset="mine (mine)")
    loaded = {"name": "mine (mine)", "settings": settings}  # tabbing past the list chooses the same again
    assert said(desk, form(**settings), loaded, preset="mine (mine)") == ""
    assert "<td>4</td>" in said(desk, form(method="dreambooth", seed=5), loaded, preset="mine (mine)")


@pytest.mark.parametrize(("baseline", "chosen"), [
    ({"name": "mine (mine)", "settings": {"seed": 1}}, "mine (mine)"),
    ({"name": "mine (mine)", "settings": {"method": "dreambooth"}}, None),
    ({"name": "mine (mine)", "settings": {}, "own": True}, None),
    (None, None),
])  # fmt: skip
def test_the_list_shows_the_preset_that_the_form_was_filled_from(
    desk: PresetDesk, baseline: object, chosen: str | None
) -> None:
    desk.save(form(), "mine", "", False)
    assert desk.offered("lora", baseline)["value"] == chosen


@pytest.mark.parametrize(("file", "words"), [
    ({"name": "x.json", "text": "{"}, "x.json is not valid JSON"),
    ({"name": "../x.toml", "text": "a ="}, "The file x.toml is not valid TOML"),
    ({"name": "x.safetensors", "metadata": {}}, "x.safetensors does not say how it was trained"),
    ({"name": "x.json", "text": '{"LoRA_type": "Standard", "network_dim": 9}'}, "<td>9</td>"),
    ({"name": "x.toml", "text": "[optimizer]\nseed = 5"}, "<td>5</td>"),
    ({"name": "x.safetensors", "metadata": {"ss_network_dim": "12"}}, "<td>12</td>"),
])  # fmt: skip
def test_a_file_that_the_browser_has_read_is_offered_or_refused_in_words(
    desk: PresetDesk, file: dict[str, object], words: str
) -> None:
    assert words in said(desk, form(), NOTHING, **file)


def test_a_file_that_is_too_large_is_refused(desk: PresetDesk) -> None:
    for part in ({"text": "x" * (3 << 20)}, {"metadata": {"ss_network_dim": "1" * (3 << 20)}}):
        assert "larger than a preset can be" in said(desk, form(), NOTHING, **part)
