"""The plan as the page shows it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kohya_gui import plan_view, texts
from sd_scripts.config import load, toml
from sd_scripts.config.train_config import TrainConfig
from sd_scripts.events import RunFolder

ROOT = Path(__file__).parents[2]
SMALL = {"resolution": "64", "min_bucket_reso": 32, "bucket_reso_steps": 16, "max_train_epochs": 2, "seed": 1}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TrainConfig]:
    """Two folders of images, one with a name that would be markup."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, sizes in {"4_a <b>cat": [(64, 64), (64, 64), (96, 48)], "2_dog": [(64, 64)]}.items():
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        for number, size in enumerate(sizes):
            Image.new("RGB", size).save(folder / f"{number}.png")

    def make(**settings: Any) -> TrainConfig:
        return load.from_flat({**SMALL, "train_data_dir": str(tmp_path / "images"), **settings}).unwrap()

    return make


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_every_word_of_the_sum_is_in_the_visitors_language() -> None:
    total = "9 images x 2 repeats = 18 samples; 18 / batch 4 in 2 buckets = 5 batches an epoch; 5 / 1 accumulation x 1 epoch"
    with texts.speaking("de"):
        assert plan_view.in_words(total) == (
            "9 Bilder × 2 Wiederholungen = 18 Samples; 18 / Stapel 4 in 2 Größen = 5 Stapel je Epoche; "
            "5 / 1 Sammeln × 1 Epoche"
        )


def test_the_card_says_steps_sum_folders_and_sizes(config: Callable[..., TrainConfig]) -> None:
    card = plan_view.card(config())
    said = words(card)
    assert "steps 28 epochs 2 images an epoch 14" in said
    assert "1 image × 2 repeats + 3 images × 4 repeats = 14 samples" in said
    assert "folder images repeats an epoch" in said and "dog 1 2 2" in said
    assert "64 × 64 3 10 10" in said and "80 × 48 1 4 4" in said
    assert "<b>cat" not in card and "&lt;b&gt;cat" in card


def test_the_card_says_what_the_run_takes(config: Callable[..., TrainConfig]) -> None:
    said = words(plan_view.card(config(save_every_n_epochs=1, save_state=True)))
    assert re.search(r"memory about [\d.]+ MB model [\d.]+ MB \+ training [\d.]+ MB \+ pictures [\d.]+ MB", said)
    assert re.search(r"disk about [\d.]+ MB 2 files of 963 kB \+ 2 states of [\d.]+ MB", said)
    assert "time unknown until the first steps" in said
    said = words(plan_view.card(config(network_module="lycoris.kohya", algo="lokr")))
    assert "memory not estimated for this kind of network" in said


def test_time_is_told_from_an_earlier_run(config: Callable[..., TrainConfig], tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs" / "20260101-teapot").create()
    folder.config.write_text(toml.write_flat(load.to_flat(config())), encoding="utf-8")
    events = [{"kind": "step", "step": n, "time": n * 5.0} for n in range(1, 20)]
    folder.events.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    said = words(plan_view.card(config(), tmp_path / "runs"))
    assert "time about 2 min 5 s a step, as 20260101-teapot went; samples and saving come on top" in said


def test_where_nothing_can_be_trained_only_the_reasons_are_shown(
    config: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    card = plan_view.card(config(train_data_dir=str(tmp_path / "nowhere")))
    assert "does not exist; check its name." in words(card) and "plan-open" not in card


@pytest.mark.parametrize(("count", "text"), [
    (0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (962_560, "963 kB"), (1_500_000, "1.5 MB"),
    (7_700_000_000, "7.7 GB"), (2.5e12, "2.5 TB"),
])  # fmt: skip
def test_sizes_are_said_in_words(count: int, text: str) -> None:
    assert plan_view.size(count) == text


@pytest.mark.parametrize(("seconds", "text"), [
    (0.2, "1 s"), (89, "89 s"), (90, "2 min"), (3600, "1 h"), (12_000, "3 h 20 min"), (172_800, "2 d"), (190_000, "2 d 4 h"),
])  # fmt: skip
def test_times_are_said_in_words(seconds: float, text: str) -> None:
    assert plan_view.duration(seconds) == text


def test_the_same_settings_are_the_same_plan(config: Callable[..., TrainConfig]) -> None:
    def name(card: str) -> str:
        return re.findall(r'data-plan="(\w+)"', card)[0]

    first = name(plan_view.card(config()))
    assert name(plan_view.card(config())) == first != name(plan_view.card(config(seed=2)))
    for seed in range(10, 10 + plan_view.MOST_KEPT):
        plan_view.card(config(seed=seed))
    with pytest.raises(plan_view.NoSuchPlan) as error:
        plan_view.PLANS.get(first)
    assert str(error.value) == "This plan is out of date; change any field of the form, or load the page again."


def test_planning_needs_no_torch() -> None:
    code = "import sys, kohya_gui.plan_view; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
