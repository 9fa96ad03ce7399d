"""What a preset would do to a form, before it does it."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest

from kohya_gui import offers
from kohya_gui.entries import Entries
from kohya_gui.offers import Baseline
from kohya_gui.presets import Preset

FOLDER = {"train_data_dir": "/mine"}
DEMO = Baseline("demo", {"train_data_dir": "/demo", "output_name": "bloop"})
PLAIN = Preset("plain", "", {"network_dim": 8})
WITH_FOLDER = Preset("other", "", {"train_data_dir": "/theirs"})


@pytest.mark.parametrize(("preset", "form", "baseline", "keep", "after"), [
    (PLAIN, {"seed": 3}, Baseline(), False, {"network_dim": 8}),
    (PLAIN, {**FOLDER, "seed": 3}, Baseline(), False, {**FOLDER, "network_dim": 8}),
    (WITH_FOLDER, FOLDER, Baseline(), False, {"train_data_dir": "/theirs"}),
    (WITH_FOLDER, FOLDER, Baseline(), True, FOLDER),
    (PLAIN, DEMO.settings, DEMO, True, {"network_dim": 8}),
    (PLAIN, {**DEMO.settings, **FOLDER}, DEMO, True, {"network_dim": 8, **FOLDER}),
    (PLAIN, FOLDER, Baseline("a run", FOLDER, own=True), False, {"network_dim": 8, **FOLDER}),
    (Preset("sd2", "", {"v2": True}), {"pretrained_model_name_or_path": "/m"}, Baseline(), False, {"v2": True}),
    (Preset("sd2", "", {"v2": True}), {"pretrained_model_name_or_path": "/m"}, Baseline(), True,
     {"pretrained_model_name_or_path": "/m"}),
], ids=["whole", "own folder stays", "named folder comes", "unless it is to stay", "the demo's folder goes",
        "one's own in its place stays", "a run's folder is one's own", "a model comes whole", "or stays whole"])  # fmt: skip
def test_a_preset_replaces_the_form_but_what_is_the_visitors_own(
    preset: Preset, form: dict[str, object], baseline: Baseline, keep: bool, after: dict[str, object]
) -> None:
    assert offers.applied(preset, Entries.of(form), baseline, keep=keep) == after


def shown(preset: Preset, form: dict[str, object], **options: Any) -> str:
    return offers.html(preset, Entries.of(form), Baseline(), **{"keep": True, "own": False, **options})


def values_of(html: str) -> list[dict[str, object]]:
    return [json.loads(unescape(found)) for found in re.findall(r'data-values="([^"]*)"', html)]


def test_an_offer_says_what_would_change_and_carries_it() -> None:
    html = shown(PLAIN, {"network_dim": 16, "flip_aug": True})
    assert values_of(html) == [{"network_dim": "8", "flip_aug": False}]
    assert "It changes 2 settings." in html
    assert "<th scope=row>Network rank</th><td><s>16</s></td><td>8</td>" in html
    assert "<td><s>on</s></td><td>off</td>" in html


def test_where_both_name_a_folder_the_visitor_is_asked() -> None:
    html = shown(WITH_FOLDER, FOLDER)
    assert "Keep what I have filled in: Image folder" in html
    assert values_of(html) == [{}, {"train_data_dir": "/theirs"}]
    assert "offer-keep" not in shown(PLAIN, FOLDER)


def test_nothing_of_a_preset_is_markup() -> None:
    html = shown(Preset("<b>", "<i>", {"output_name": "<script>"}), {})
    assert "<b>" not in html and "<script>" not in html


def test_a_secret_is_no_part_of_an_offer() -> None:
    now = Entries.of({"huggingface_token": "hf_x"})
    html = offers.html(PLAIN, now, Baseline(), keep=True, own=False)
    assert "hf_x" not in html and "huggingface_token" not in html


@pytest.mark.parametrize("kept", [None, [], {"settings": 3}, "text"])
def test_a_baseline_that_a_browser_kept_wrong_is_forgotten(kept: object) -> None:
    assert Baseline.read(kept) == Baseline()
