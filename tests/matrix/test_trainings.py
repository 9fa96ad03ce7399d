"""Every family trained by every method: plainly, cached, with gradients accumulated, and resumed after a crash."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from training_cases import FAMILIES, METHODS

from sd_scripts.training.loop import Trainer

STEPS = 3
SAVED_AT, CRASHED_AT = 1, 2
CRASH = 1
"""Exit code of something unexpected."""

Train = Callable[..., Any]


class Crash(BaseException):
    """As sudden as a kill: nothing is saved on the way out."""


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> dict[str, Any]:
    chosen = FAMILIES[request.param]
    return {**chosen.settings, "pretrained_model_name_or_path": str(request.getfixturevalue(chosen.folder))}


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def trained(train: Train, family: dict[str, Any], method: str) -> Train:
    """Trains by the method, and gives what it left."""

    def run(**more: Any) -> Any:
        ended = train(**family, **METHODS[method].settings, **{"max_train_steps": STEPS, **more})
        assert ended.code == 0, ended.sentence
        return ended

    return run


@contextmanager
def crash(monkeypatch: pytest.MonkeyPatch, step: int) -> Iterator[None]:
    change = Trainer._change_weights

    def change_or_crash(trainer: Trainer) -> bool:
        if trainer.progress.step == step:
            raise Crash
        return change(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_change_weights", change_or_crash)
        yield


SAVING = {"save_every_n_steps": SAVED_AT, "save_state": True}
WAYS = {
    "plain": {},
    "accumulated": {"gradient_accumulation_steps": 2},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_resumed_run_ends_in_the_same_weights(way: str, trained: Train, method: str) -> None:
    file = METHODS[method].file
    whole = trained(**WAYS[way], **SAVING)
    weights = whole.weights(file)
    assert all(value.isfinite().all() for value in weights.values())
    assert len(whole.losses) == STEPS
    resumed = trained(**WAYS[way], resume=str(whole.output / f"tiny-step{SAVED_AT:08}-state"), output_name="resumed")
    assert [event["step"] for event in resumed.of("step")] == list(range(SAVED_AT + 1, STEPS + 1))
    assert weights == resumed.weights(file.replace("tiny", "resumed"))


@pytest.fixture
def on_disk(tiny_images: Path, tmp_path: Path) -> dict[str, Any]:
    """Latents in files, beside images that are this test's own."""
    return {"train_data_dir": str(shutil.copytree(tiny_images, tmp_path / "images")), "cache_latents_to_disk": True}


def test_so_does_one_with_cached_latents_that_had_crashed(
    trained: Train, train: Train, family: dict[str, Any], method: str, on_disk: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It finds those in files again, which are as good as those in memory."""
    file = METHODS[method].file
    weights = trained(cache_latents=True).weights(file)
    settings = {**family, **METHODS[method].settings, **on_disk, "max_train_steps": STEPS, "output_name": "crashed"}
    with crash(monkeypatch, CRASHED_AT):
        ended = train(**settings, **SAVING)
    assert ended.code == CRASH
    state = ended.output / f"crashed-step{SAVED_AT:08}-state"
    run = trained(**on_disk, output_name="crashed", resume=str(state))
    assert run.of("start")[-1]["resumed_step"] == SAVED_AT
    assert weights == run.weights(file.replace("tiny", "crashed"))


def test_captions_that_were_encoded_once_teach_the_same(trained: Train, method: str) -> None:
    fixed = METHODS[method].fixed_text
    if fixed is None:
        pytest.skip("what captions turn into is what it trains")
    live, kept = trained(**fixed), trained(**fixed, cache_text_encoder_outputs=True)
    assert kept.losses == pytest.approx(live.losses, rel=1e-3)
