"""Saved states: a resumed training ends where one that never paused does."""

from __future__ import annotations

import json
from typing import Any

import pytest

SAVING = {"save_every_n_steps": 2, "save_state": True}
DRAWING = {
    "network_dropout": 0.2,
    "shuffle_caption": True,
    "flip_aug": True,
    "lr_scheduler": "cosine",
    "lr_warmup_steps": 2,
}


@pytest.mark.parametrize("optimizer", ["AdamW", "AdamW8bit"])
def test_a_resumed_training_ends_in_the_same_weights(trained: Any, train: Any, optimizer: str) -> None:
    """Step 2 stands in the middle of an epoch of three, step 4 in the second."""
    whole = trained(**SAVING, **DRAWING, optimizer_type=optimizer)
    for step in (2, 4):
        state = whole.output / f"tiny-step0000000{step}-state"
        resumed = train(**DRAWING, optimizer_type=optimizer, resume=str(state))
        assert whole.weights() == resumed.weights()
        assert resumed.of("start")[0]["resumed_step"] == step
        assert [event["step"] for event in resumed.of("step")] == list(range(step + 1, 7))


def test_accumulation_and_epoch_ends_are_where_they_were(train: Any) -> None:
    settings = {"gradient_accumulation_steps": 2, "max_train_steps": 5}
    whole = train(**SAVING, **settings)
    weights = whole.weights()
    assert [event["epoch"] for event in whole.of("step")] == [1, 1, 2, 2, 3]
    resumed = train(**settings, resume=str(whole.output / "tiny-step00000002-state"))
    assert weights == resumed.weights()


def test_a_state_is_a_folder_of_the_reference_engines_files(train: Any) -> None:
    folder = train(save_state_on_train_end=True).output / "tiny-state"
    assert sorted(file.name for file in folder.iterdir()) == [
        "model.safetensors", "optimizer.bin", "random_states_0.pkl", "scheduler.bin", "train_state.json",
    ]  # fmt: skip
    place = json.loads((folder / "train_state.json").read_text())
    assert (place["current_epoch"], place["current_step"], place["epochs_done"], place["batches_done"]) == (2, 6, 2, 0)


def test_a_finished_training_goes_on_when_more_steps_are_asked_for(train: Any) -> None:
    ended = train(save_state_on_train_end=True, max_train_steps=4)
    longer = train(resume=str(ended.output / "tiny-state"), max_train_steps=6)
    assert [event["step"] for event in longer.of("step")] == [5, 6]
    assert longer.weights() == train(max_train_steps=6).weights()


def test_a_training_that_is_over_says_so_when_it_is_resumed(train: Any) -> None:
    state = str(train(max_train_steps=1, save_state=True).output / "tiny-state")
    again = train(max_train_steps=1, resume=state)
    assert again.losses == []
    assert f"{state} is of step 1, with which the training ends; raise its length." in [
        notice["message"] for notice in again.of("notice")
    ]


def test_a_state_without_our_additions_is_placed_by_its_step(train: Any) -> None:
    whole = train(**SAVING)
    weights, state = whole.weights(), whole.output / "tiny-step00000004-state"
    (state / "train_state.json").write_text('{"current_epoch": 2, "current_step": 4}')
    resumed = train(resume=str(state))
    assert resumed.weights() == weights
    assert "worked out from the step" in resumed.of("notice")[-1]["message"]


def test_without_a_seed_a_resumed_training_takes_the_states(train: Any) -> None:
    short = {"max_train_steps": 4, "seed": None}
    whole = train(**SAVING, **short)
    weights = whole.weights()
    resumed = train(**short, resume=str(whole.output / "tiny-step00000002-state"))
    assert weights == resumed.weights()


def test_other_rates_than_the_states_are_told(train: Any) -> None:
    whole = train(**SAVING, max_train_steps=3)
    weights = whole.weights()
    resumed = train(max_train_steps=3, learning_rate=5e-4, resume=str(whole.output / "tiny-step00000002-state"))
    assert [notice["message"] for notice in resumed.of("notice") if notice["key"] == "resume"] == [
        "The training goes on with the learning rates it was saved with (text_encoder 0.001, unet 0.001), not with those "
        "given now (text_encoder 0.0005, unet 0.0005); change them while it runs, or begin anew from the saved file."
    ]
    assert resumed.weights() == weights


PLACES = [
    ({}, (0, 0, 0)),
    ({"initial_epoch": 3}, (0, 2, 0)),
    ({"initial_epoch": 3, "skip_until_initial_step": True}, (6, 2, 0)),
    ({"initial_step": 7}, (0, 2, 0)),
    ({"initial_step": 7, "skip_until_initial_step": True}, (7, 2, 2)),
    ({"initial_step": 7, "initial_epoch": 2, "skip_until_initial_step": True}, (7, 2, 2)),
]


@pytest.mark.parametrize(("settings", "place"), PLACES, ids=[" ".join(settings) or "none" for settings, _ in PLACES])
def test_where_counting_begins(settings: dict[str, Any], place: tuple[int, int, int]) -> None:
    """Five batches and two accumulated to a step: three steps an epoch."""
    from sd_scripts.config.training import TrainingConfig
    from sd_scripts.training.build import begin
    from sd_scripts.training.progress import Progress
    from sd_scripts.training.state import Shape

    progress = Progress()
    begin(progress, TrainingConfig(**settings), Shape(1, 5, 2, 1))
    assert (progress.step, progress.epoch, progress.batches) == place


BAD = [
    ("missing", "resume: The folder {folder} does not exist; give the state folder that a training saved."),
    ("empty", "resume: {folder} is no saved state, because its train_state.json is missing or broken."),
    (
        "parent",
        "resume: {folder} is no saved state, because its train_state.json is missing or broken; did you mean {folder}/x-state?",
    ),
]


@pytest.mark.parametrize(("kind", "sentence"), BAD, ids=[kind for kind, _ in BAD])
def test_a_folder_that_is_no_state_is_said_before_loading(train: Any, tmp_path: Any, kind: str, sentence: str) -> None:
    folder = tmp_path / kind
    if kind != "missing":
        folder.mkdir()
    if kind == "parent":
        (folder / "x-state").mkdir()
        (folder / "x-state" / "train_state.json").write_text("{}")
    ended = train(resume=str(folder))
    assert ended.code == 2 and ended.sentence == sentence.format(folder=folder)
    assert "loading" not in ended.states


def test_a_state_of_another_network_is_refused(train: Any) -> None:
    state = train(save_state_on_train_end=True, max_train_steps=1).output / "tiny-state"
    assert train(resume=str(state), network_dim=8).sentence.startswith(
        f"resume: The weights in {state} are not those of this training"
    )
    sentence = train(resume=str(state), network_train_unet_only=True).sentence
    assert sentence.startswith("resume: ") and sentence.endswith("give the same settings as when it was saved.")
    assert train(resume=str(state), optimizer_type="SGD").sentence == (
        f"resume: {state} was saved with the optimizer torch.optim.adamw.AdamW, not torch.optim.sgd.SGD; choose that one again."
    )
