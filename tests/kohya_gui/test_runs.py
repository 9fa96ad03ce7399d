"""What a run's folder says, and what the app makes of it."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kohya_gui.runs.console import shown, tail
from kohya_gui.runs.curve import Curve
from kohya_gui.runs.process import Process, beating
from kohya_gui.runs.reading import RunReader
from kohya_gui.runs.store import NoSuchRun, RunStore
from sd_scripts.config import toml
from sd_scripts.events import RunFolder

WriteRun = Callable[..., str]


def step(number: int, loss: float = 0.1) -> dict[str, object]:
    return {"kind": "step", "step": number, "epoch": 1, "loss": loss, "average_loss": loss, "lr": {"unet": 1e-4}}


# The curve


def test_a_short_curve_keeps_every_step() -> None:
    curve = Curve(limit=10)
    for number in range(1, 9):
        curve.add(number, number / 10, {"unet": 1e-4})
    points = curve.since(-1, 0)["points"]
    assert [point[:2] for point in points] == [[number, pytest.approx(number / 10)] for number in range(1, 9)]


def test_a_long_curve_stays_small_and_keeps_its_mean_and_outliers() -> None:
    curve = Curve(limit=100)
    losses = [math.sin(number) + (50 if number == 70_001 else 0) for number in range(100_000)]
    for number, loss in enumerate(losses, 1):
        curve.add(number, loss, {})
    points = curve.since(-1, 0)["points"]
    assert 50 <= len(points) <= 100
    assert points[-1][0] == 100_000
    counts = [bucket.count for bucket in curve.buckets]
    assert sum(counts) == 100_000
    assert sum(point[1] * count for point, count in zip(points, counts, strict=True)) == pytest.approx(sum(losses))
    assert max(point[3] for point in points) == max(losses)


def test_a_reader_gets_only_what_is_new() -> None:
    curve = Curve(limit=100)
    for number in range(1, 6):
        curve.add(number, 0.5, {})
    first = curve.since(-1, 0)
    curve.add(6, 0.4, {})
    more = curve.since(first["generation"], len(first["points"]))
    assert more["from"] == 4
    assert [point[0] for point in more["points"]] == [5, 6]


def test_a_reader_starts_anew_when_points_were_joined() -> None:
    curve = Curve(limit=4)
    for number in range(1, 5):
        curve.add(number, 0.5, {})
    known = curve.since(-1, 0)
    curve.add(5, 0.5, {})
    assert curve.since(known["generation"], len(known["points"]))["from"] == 0


def test_a_loss_that_is_no_number_leaves_a_gap() -> None:
    curve = Curve()
    curve.add(1, 0.5, {})
    curve.add(2, math.nan, {})
    curve.add(3, 0.5, {})
    assert [point[0] for point in curve.since(-1, 0)["points"]] == [1, 3]


# Events


def read(store: RunStore, run_id: str) -> RunReader:
    return store.reader(run_id)


def test_a_resumed_run_shows_each_step_once(store: RunStore, write_run: WriteRun) -> None:
    run = write_run(
        {"kind": "start", "pid": 1, "attempt": 1, "resumed_step": 0}, step(1), step(2), step(3),
        {"kind": "sample", "step": 3, "index": 0, "file": "samples/old.png"},
        {"kind": "start", "pid": 2, "attempt": 2, "resumed_step": 1}, step(2), step(3),
    )  # fmt: skip
    reader = read(store, run)
    assert [point[0] for point in reader.curve.since(-1, 0)["points"]] == [1, 2, 3]
    assert (reader.attempt, reader.step, reader.samples) == (2, 3, {})


def test_half_a_line_waits_for_its_other_half(store: RunStore, write_run: WriteRun) -> None:
    run = write_run(step(1))
    line = json.dumps({"time": 1001, **step(2)}) + "\n"
    events = store.folder(run).events
    with events.open("a", encoding="utf-8") as file:
        file.write(line[:20])
    assert read(store, run).step == 1
    with events.open("a", encoding="utf-8") as file:
        file.write(line[20:])
    assert read(store, run).step == 2


def test_events_of_later_versions_are_passed_over(store: RunStore, write_run: WriteRun) -> None:
    run = write_run(step(1), {"kind": "weather", "sun": True}, step(2))
    assert read(store, run).step == 2


def steps_from(first: int, last: int, time: float) -> list[dict[str, object]]:
    """Two a second, the one before `first` at `time`."""
    return [{**step(number), "time": time + (number - first + 1) / 2} for number in range(first, last + 1)]


def state_at(time: float, state: str) -> dict[str, object]:
    return {"kind": "state", "state": state, "time": time}


PLAN = {"kind": "plan", "total_steps": 100, "epochs": 5, "batches_per_epoch": 40}


@pytest.mark.parametrize(("settings", "left"), [
    ({}, 30 + 4),
    ({"sample_every_n_steps": 20, "sample_prompts": "a teapot"}, 30 + 3 * 20 + 4),
    ({"sample_every_n_steps": 20}, 30 + 4),
    ({"sample_every_n_epochs": 2, "sample_prompts": "x", "gradient_accumulation_steps": 2}, 30 + 1 * 20 + 4),
    ({"save_every_n_steps": 25}, 30 + 3 * 4),
    ({"save_every_n_epochs": 1, "gradient_accumulation_steps": 2}, 30 + 3 * 4),
    ({"save_n_epoch_ratio": 2}, 30 + 2 * 4),
    ({"sample_every_n_steps": "much"}, 30 + 4),
])  # fmt: skip
def test_time_left_counts_the_samples_and_files_to_come(
    store: RunStore, write_run: WriteRun, settings: dict[str, Any], left: float
) -> None:
    run = write_run(
        PLAN, state_at(1000, "training"), *steps_from(1, 20, 1000), state_at(1010, "sampling"),
        state_at(1020, "sampling"), state_at(1030, "training"), *steps_from(21, 30, 1030), state_at(1035, "saving"),
        state_at(1039, "training"), *steps_from(31, 40, 1039),
    )  # fmt: skip
    store.folder(run).config.write_text(toml.write_flat(settings))
    reader = read(store, run)
    assert reader.pace.per_second == pytest.approx(2.0)
    assert reader.seconds_left(now=1044) == pytest.approx(left)


def test_time_left_runs_down_while_samples_are_drawn(store: RunStore, write_run: WriteRun) -> None:
    run = write_run(
        PLAN, state_at(1000, "training"), *steps_from(1, 20, 1000), state_at(1010, "sampling"),
        state_at(1030, "training"), *steps_from(21, 40, 1030), state_at(1040, "sampling"),
    )  # fmt: skip
    reader = read(store, run)
    assert [reader.seconds_left(now) for now in (1040, 1055, 1090)] == [pytest.approx(30 + n) for n in (20, 5, 0)]


def test_an_engine_that_hangs_is_told(store: RunStore, write_run: WriteRun) -> None:
    slow = [{**step(number), "time": 1000 + 30 * number} for number in range(1, 6)]
    reader = read(store, write_run({"kind": "state", "state": "training"}, *slow))
    assert [reader.silence(1150 + seconds) for seconds in (60, 290, 310)] == [None, None, 310]


def test_pace_is_known_again_when_the_clock_was_set_back(store: RunStore, write_run: WriteRun) -> None:
    run = write_run(PLAN, *steps_from(1, 10, 90_000), *steps_from(11, 20, 1000))
    assert read(store, run).pace.per_second == pytest.approx(2.0)


def test_long_work_before_the_steps_tells_its_own_end(store: RunStore, write_run: WriteRun) -> None:
    work = [
        {"kind": "progress", "what": "caching latents", "done": n, "total": 100, "time": 1000 + n} for n in (10, 30)
    ]
    progress = read(store, write_run({"kind": "state", "state": "caching"}, *work)).progress
    assert progress == {"what": "caching latents", "done": 30, "total": 100, "left": pytest.approx(70.0)}


def test_a_step_ends_a_pause_that_nobody_ended(store: RunStore, write_run: WriteRun) -> None:
    run = write_run(step(1), {"kind": "state", "state": "sampling", "message": "Drawing sample 1 of 2"}, step(2))
    reader = read(store, run)
    assert (reader.state, reader.message) == ("training", "")


# States


def test_a_run_whose_process_is_gone_is_broken_off(store: RunStore, write_run: WriteRun) -> None:
    run = write_run({"kind": "state", "state": "training"}, step(1))
    (store.folder(run).path / "process.json").write_text(json.dumps({"pid": 2**22 + 1, "began": 1.0, "returncode": -9}))
    assert store.state(run) == "lost"
    assert store.describe(run)["failure"]["sentence"] == (
        "The engine was killed, most often because memory ran out; try a smaller batch or resolution."
    )


def test_a_finished_run_stays_finished_without_its_process(store: RunStore, write_run: WriteRun) -> None:
    run = write_run(step(1), {"kind": "state", "state": "done"})
    assert store.state(run) == "done"


def test_a_failure_is_told_in_its_sentence(store: RunStore, write_run: WriteRun) -> None:
    problems = [{"key": "vae", "message": "x.safetensors does not exist."}]
    run = write_run({"kind": "failed", "sentence": "The VAE is missing.", "problems": problems})
    described = store.describe(run)
    assert (described["state"], described["failure"]) == (
        "failed",
        {"sentence": "The VAE is missing.", "problems": problems},
    )


def test_a_process_number_given_away_again_is_not_the_engine() -> None:
    mine = Process.of(os.getpid())
    assert mine and mine.alive()
    assert not Process(os.getpid(), mine.began - 1000).alive()
    assert beating({"pid": os.getpid(), "time": time.time()}) == mine
    assert beating({"pid": os.getpid(), "time": mine.began - 1000}) is None
    assert beating(None) is None


def test_an_engine_started_from_a_terminal_is_known_by_its_heartbeat(store: RunStore, write_run: WriteRun) -> None:
    run = write_run({"kind": "state", "state": "training"}, step(1))
    store.folder(run).heartbeat.write_text(json.dumps({"pid": os.getpid(), "time": time.time(), "step": 1}))
    assert store.state(run) == "training"
    assert store.living() == [run]


# The folder of runs


@pytest.mark.parametrize("name", ["..", ".", "../elsewhere", "a/b", "", "missing", "\x00"])
def test_a_name_that_is_no_run_is_refused(store: RunStore, write_run: WriteRun, name: str) -> None:
    write_run(step(1))
    with pytest.raises(NoSuchRun):
        store.folder(name)


def test_a_link_out_of_the_runs_folder_is_no_run(store: RunStore, write_run: WriteRun, tmp_path: Path) -> None:
    write_run(step(1))
    elsewhere = RunFolder(tmp_path / "elsewhere").create().path
    (store.root / "link").symlink_to(elsewhere)
    with pytest.raises(NoSuchRun):
        store.folder("link")


@pytest.mark.parametrize("name", ["secret.png", "../config.toml", "../../secret.png", "note.txt", "missing.png"])
def test_only_pictures_of_the_run_are_given_out(
    store: RunStore, write_run: WriteRun, tmp_path: Path, name: str
) -> None:
    run = write_run(step(1))
    samples = store.folder(run).samples
    (tmp_path / "secret.png").touch()
    (samples / "note.txt").touch()
    (samples / "secret.png").symlink_to(tmp_path / "secret.png")
    (samples / "good.png").touch()
    assert store.picture(run, "good.png") == samples / "good.png"
    with pytest.raises(NoSuchRun):
        store.picture(run, name)


def test_runs_made_in_one_second_get_names_of_their_own(store: RunStore) -> None:
    names = {store.create("my model/ä", {}) for _ in range(3)}
    assert len(names) == 3
    assert all("/" not in name for name in names)


def test_settings_are_written_with_the_runs_folder(store: RunStore) -> None:
    run = store.create("x", {"learning_rate": 0.0, "max_train_epochs": None})
    assert store.settings(run) == {"learning_rate": 0.0, "max_train_epochs": "", "run_dir": str(store.root / run)}


# The log


@pytest.mark.parametrize(("text", "lines"), [
    ("one\ntwo\n", ["one", "two"]),
    ("\rsteps: 1\rsteps: 2\rsteps: 3", ["steps: 3"]),
    ("a\r\nb\r\n", ["a", "b"]),
    ("steps: 9\r\ndone\n", ["steps: 9", "done"]),
    ("\x1b[31mred\x1b[0m", ["red"]),
    ("", []),
])  # fmt: skip
def test_progress_is_shown_as_a_terminal_does(text: str, lines: list[str]) -> None:
    assert shown(text) == lines


def test_only_the_end_of_a_large_log_is_read(tmp_path: Path) -> None:
    file = tmp_path / "console.log"
    file.write_text("".join(f"line {number}\n" for number in range(100_000)))
    text, size = tail(file)
    assert text.endswith("line 99999")
    assert len(text) < 10_000
    assert size == file.stat().st_size


def test_a_long_name_in_any_writing_makes_a_run(store: RunStore) -> None:
    run = store.create("猫" * 200, {})
    assert store.entry(run).name == "猫" * 200 and len(run.encode()) <= 200
