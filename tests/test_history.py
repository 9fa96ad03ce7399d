"""The pace of earlier runs is found for settings that take as long, and only for those."""

from __future__ import annotations

import json

import pytest

from sd_scripts import history
from sd_scripts.config import load, toml
from sd_scripts.events import RunFolder

SETTINGS = {"pretrained_model_name_or_path": "a/b", "resolution": "512", "train_batch_size": 2}


def write(runs, name, events, **settings):
    folder = RunFolder(runs / name).create()
    folder.config.write_text(toml.write_flat({**SETTINGS, **settings}), encoding="utf-8")
    folder.events.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")


def steps(first, last, seconds, began=0.0):
    return [{"kind": "step", "step": n, "time": began + n * seconds} for n in range(first, last + 1)]


def of(runs, **settings):
    return history.pace(load.from_flat({**SETTINGS, **settings}).unwrap(), runs)


@pytest.mark.parametrize("events, found", [
    (steps(1, 21, 0.5), 2.0),
    (steps(1, 8, 0.5), None),
    ([], None),
    ([{"kind": "step", "step": n, "time": 7.0} for n in range(30)], None),
    ([*steps(1, 11, 1.0), {"kind": "state", "state": "sampling", "time": 11.0},
      {"kind": "state", "state": "training", "time": 111.0}, *steps(12, 21, 1.0, 100.0)], 1.0),
    ([*steps(1, 11, 1.0), {"kind": "state", "state": "saving", "time": 11.0}, *steps(12, 21, 1.0, 100.0)], 20 / 19),
    ([*steps(1, 15, 9.0), {"kind": "start", "time": 900.0}, *steps(16, 36, 0.25, 1000.0)], 4.0),
])  # fmt: skip
def test_steps_a_second_leave_out_pauses(events, found):
    measured = history.steps_per_second(events)
    assert measured == (found if found is None else pytest.approx(found, rel=0.01))


def test_the_newest_run_like_this_one_counts(tmp_path):
    import os

    write(tmp_path, "old", steps(1, 30, 1.0))
    write(tmp_path, "new", steps(1, 30, 0.5))
    write(tmp_path, "larger", steps(1, 30, 2.0), train_batch_size=4)
    for age, name in enumerate(("larger", "new", "old")):
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    assert of(tmp_path) == history.Pace(pytest.approx(2.0), "new")
    assert of(tmp_path, train_batch_size=4).run == "larger"
    assert of(tmp_path, learning_rate=1).run == "new"
    assert of(tmp_path, resolution="768") is None


def test_foreign_folders_are_passed_over(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "a file").touch()
    write(tmp_path, "torn", [])
    (tmp_path / "torn" / "config.toml").write_text("= nonsense", encoding="utf-8")
    assert of(tmp_path) is None
    assert of(tmp_path / "nowhere") is None
    assert history.pace(load.from_flat(SETTINGS).unwrap(), None) is None


def test_only_the_end_of_a_long_run_is_read(tmp_path):
    write(tmp_path, "long", [*steps(1, 2000, 5.0), *steps(2001, 6000, 0.1, 10_000.0)])
    assert of(tmp_path).per_second == pytest.approx(10.0)
