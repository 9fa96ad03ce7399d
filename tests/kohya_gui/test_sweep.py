"""Several values in a field become several runs."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from kohya_gui.runs import sweep
from kohya_gui.runs.store import RunStore
from kohya_gui.runs.supervisor import Supervisor
from sd_scripts.config import load


@pytest.mark.parametrize(("key", "value", "values"), [
    ("learning_rate", "1e-4, 5e-5", [1e-4, 5e-5]),
    ("learning_rate", "1e-4,5e-5", [1e-4, 5e-5]),
    ("learning_rate", 1e-4, None),
    ("learning_rate", "0,5", None),  # a decimal comma
    ("learning_rate", "0.1, 0.1", None),
    ("learning_rate", "1e-4, much", None),  # the schema says what is wrong
    ("network_dim", "8, 16 ,32", [8, 16, 32]),
    ("network_dim", "8, 1.5", None),
    ("lr_warmup_steps", "0, 100, 10%", [0, 100, "10%"]),
    ("lr_scheduler", "cosine, linear", ["cosine", "linear"]),
    ("lr_scheduler", "cosine, none of them", None),
    ("max_token_length", "75, 225", [75, 225]),
    ("flip_aug", "yes, no", [True, False]),
    ("optimizer_type", "AdamW, Prodigy", ["AdamW", "Prodigy"]),
    ("resolution", "512,512", None),
    ("resolution", "512,512 | 768,768", ["512,512", "768,768"]),
    ("training_comment", "one, two", None),
    ("text_encoder_lr", "1e-4, 5e-5", None),  # a list is one value
    ("network_args", "a=1, b=2", None),
    ("sample_prompts", "a | b", None),
    ("output_name", "a | b", None),
    ("seed", "1, 2, 3", [1, 2, 3]),
])  # fmt: skip
def test_a_field_holds_several_values_or_not(key: str, value: object, values: list[Any] | None) -> None:
    assert sweep.swept({key: value}) == ({} if values is None else {key: values})


def test_every_combination_is_a_run_that_says_what_differs() -> None:
    flat = {"output_name": "teapot", "learning_rate": "1e-4, 5e-5", "network_dim": "8, 16", "seed": 1}
    made = sweep.combinations(flat)
    assert [(run["learning_rate"], run["network_dim"]) for run in made] == [
        (1e-4, 8),
        (1e-4, 16),
        (5e-5, 8),
        (5e-5, 16),
    ]
    assert [run["output_name"] for run in made] == [
        "teapot-learning-rate-0.0001-network-dim-8", "teapot-learning-rate-0.0001-network-dim-16",
        "teapot-learning-rate-5e-05-network-dim-8", "teapot-learning-rate-5e-05-network-dim-16",
    ]  # fmt: skip
    assert all(run["seed"] == 1 for run in made)
    assert sweep.plan("my run", flat)[0].name == "my run learning_rate=0.0001 network_dim=8"


def test_without_several_values_there_is_one_run_as_it_is() -> None:
    flat = {"output_name": "teapot", "learning_rate": 1e-4, "cache_latents": True}
    assert sweep.combinations(flat) == [flat]


def test_the_runs_of_a_sweep_share_their_cached_latents() -> None:
    made = sweep.combinations({"seed": "1, 2", "cache_latents": True})
    assert all(run["cache_latents_to_disk"] is True for run in made)
    assert all("cache_latents_to_disk" not in run for run in sweep.combinations({"seed": "1, 2"}))


def test_long_names_stay_apart_and_short_enough() -> None:
    made = sweep.combinations({"output_name": "x" * 90, "seed": "1, 2, 3"})
    names = [str(run["output_name"]) for run in made]
    assert len(set(names)) == 3 and max(map(len, names)) <= 100


def test_too_many_runs_are_refused() -> None:
    seeds = ", ".join(map(str, range(51)))
    with pytest.raises(sweep.TooMany) as error:
        sweep.combinations({"seed": seeds, "network_dim": "8, 16"})
    assert str(error.value) == (
        "network_dim, seed: These values make 102 runs, more than the 100 that are started at once; give fewer."
        if str(error.value).startswith("network")
        else "seed, network_dim: These values make 102 runs, more than the 100 that are started at once; give fewer."
    )


def test_each_combination_is_right_by_the_schema() -> None:
    for flat in sweep.combinations(
        {"learning_rate": "1e-4, 5e-5", "lr_scheduler": "cosine, linear", "flip_aug": "yes, no"}
    ):
        assert load.from_flat(flat).errors == []


def test_a_sweep_fills_the_queue(supervisor: Supervisor, store: RunStore) -> None:
    runs = supervisor.start_sweep("teapot", {"seed": "50, 51, 52", "max_train_steps": 2000}, {})
    assert supervisor.waiting() == runs[1:]
    entries = [store.entry(run) for run in runs]
    assert len({entry.sweep for entry in entries}) == 1 and entries[0].sweep
    assert [entry.name for entry in entries] == [f"teapot seed={seed}" for seed in (50, 51, 52)]
    assert [store.settings(run)["seed"] for run in runs] == [50, 51, 52]
    process = store.process(runs[0])[0]
    assert process
    os.kill(process.pid, signal.SIGKILL)
