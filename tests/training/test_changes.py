"""Rates and end of a live training changed: at once, on the schedule, and again after a resume."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sd_scripts.changes import BadChange, Changes, checked, recorded
from sd_scripts.training import control

COSINE = {"lr_scheduler": "cosine", "save_every_n_steps": 2, "save_state": True, "network_dropout": 0.2}
Asking = Callable[..., None]


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Asking:
    """Asks the running training for a change while it takes that step."""
    look = control.Control.look

    def ask(step: int, **change: Any) -> None:
        def look_and_ask(self: Any, at: int) -> None:
            if at == step:
                self._run.request_change(change)
            look(self, at)

        monkeypatch.setattr(control.Control, "look", look_and_ask)

    return ask


def rates(ended: Any) -> list[float]:
    return [event["lr"]["unet"] for event in ended.of("step")]


def test_rates_are_multiplied_and_the_schedule_goes_on(train: Any, asking: Asking) -> None:
    """(1 + cos(pi p)) / 2 of the rate, by the reference's formula."""
    plain = [1e-3 * (1 + math.cos(math.pi * step / 6)) / 2 for step in range(1, 7)]
    asking(3, rate_factor=0.5)
    ended = train(lr_scheduler="cosine")
    assert rates(ended) == pytest.approx([*plain[:3], *(rate / 2 for rate in plain[3:])])
    (changed,) = ended.of("changed")
    assert (changed["step"], changed["rate_factor"]) == (3, 0.5)


def test_a_later_end_stretches_what_is_left_of_the_schedule(train: Any, asking: Asking) -> None:
    """At step 3 of 6 a line down to 0 has three steps left, which become five: it is at 0 at step 8."""
    asking(3, total_steps=8)
    ended = train(lr_scheduler="linear")
    assert len(ended.losses) == 8 and ended.states[-1] == "done"
    done = [1, 2, 3, *(3 + n * 3 / 5 for n in range(1, 6))]
    assert rates(ended) == pytest.approx([1e-3 * (1 - step / 6) for step in done])


def test_an_earlier_end_finishes_the_training(train: Any, asking: Asking) -> None:
    asking(3, total_steps=4)
    ended = train()
    assert len(ended.losses) == 4 and ended.states[-1] == "done"
    assert (ended.output / "tiny.safetensors").is_file()


def test_an_end_that_has_passed_means_now(train: Any, asking: Asking) -> None:
    asking(3, epochs=1)
    ended = train()
    assert len(ended.losses) == 3 and ended.of("changed")[0]["total_steps"] == 3


def test_after_a_resume_a_change_holds_and_is_made_again(train: Any, asking: Asking) -> None:
    """States of steps 2 and 4 lie before and after the change of step 3."""
    asking(3, rate_factor=0.25, total_steps=8)
    whole = train(**COSINE)
    weights = whole.weights()
    asking(0)
    for step in (2, 4):
        resumed = train(**COSINE, resume=str(whole.output / f"tiny-step0000000{step}-state"))
        assert [event["step"] for event in resumed.of("step")] == list(range(step + 1, 9))
        assert [event["step"] for event in resumed.of("changed")] == ([3] if step == 2 else [])
        assert resumed.weights() == weights


def test_a_change_that_makes_no_sense_is_said_and_passed_over(train: Any, asking: Asking) -> None:
    plain = train().weights()
    asking(2, rate_factor=-1)
    ended = train()
    assert ended.weights() == plain and ended.of("changed") == []
    assert ended.of("notice")[-1]["message"] == (
        "rate_factor: -1 must be a number above 0 and at most 1000, such as 0.5."
    )


@pytest.mark.parametrize(("asked", "sentence"), [
    ({}, "Nothing can't be changed in a live run; give rate_factor, total_steps or epochs."),
    ({"seed": 1}, "seed can't be changed in a live run; give rate_factor, total_steps or epochs."),
    ({"rate_factor": 0}, "rate_factor: 0 must be a number above 0 and at most 1000, such as 0.5."),
    ({"rate_factor": "much"}, "rate_factor: 'much' must be a number above 0 and at most 1000, such as 0.5."),
    ({"total_steps": 2.5}, "total_steps: 2.5 must be a whole number of at least 1."),
    ({"epochs": True}, "epochs: True must be a whole number of at least 1."),
])  # fmt: skip
def test_what_is_asked_for_is_checked(asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadChange) as error:
        checked(asked)
    assert str(error.value) == sentence


def test_the_newest_change_sets_aside_what_was_to_be_done_again() -> None:
    changes = Changes()
    for step, factor in ((5, 0.5), (9, 0.1), (7, 2.0)):
        changes.take({"step": step, "rate_factor": factor})
    assert [changes.factor(step) for step in (4, 5, 7, 20)] == [1.0, 0.5, 2.0, 2.0]
    assert (changes.total(3), Changes({}, {3: 9}).total(3)) == (None, 9)


def test_a_training_begun_anew_knows_no_changes() -> None:
    changed = {"kind": "changed", "step": 3, "total_steps": 9}
    assert recorded([changed, {"kind": "start", "resumed_step": 2}]).totals == {3: 9}
    assert recorded([changed, {"kind": "start", "resumed_step": 0}]).totals == {}


def test_a_request_is_taken_once_and_joined_with_one_that_waits(tmp_path: Path) -> None:
    from sd_scripts.events import RunFolder

    run = RunFolder(tmp_path / "run").create()
    run.request_change({"rate_factor": 0.5})
    run.request_change({"total_steps": 9})
    assert run.take_change() == {"rate_factor": 0.5, "total_steps": 9}
    assert run.take_change() == {}
