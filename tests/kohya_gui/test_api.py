"""The named endpoints: what they do. Over the network they are used in browser/test_runs_story.py."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kohya_gui.api import Endpoints
from kohya_gui.runs.store import RunStore
from kohya_gui.runs.supervisor import Supervisor
from sd_scripts.errors import ConfigError, UserError

Wait = Callable[..., Any]


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    folder = tmp_path / "images" / "3_thing"
    folder.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(folder / "a.png")
    return {
        "train_data_dir": str(folder.parent), "resolution": "64,64", "min_bucket_reso": 64, "max_train_steps": 100_000,
        "seed": 20, "output_dir": str(tmp_path / "out"), "output_name": "thing",
    }  # fmt: skip


@pytest.fixture
def endpoints(supervisor: Supervisor, store: RunStore) -> Iterator[Endpoints]:
    yield Endpoints(supervisor)
    for run in store.living():
        process = store.process(run)[0]
        if process:
            os.kill(process.pid, signal.SIGKILL)


def test_runs_are_started_told_and_stopped(
    endpoints: Endpoints, store: RunStore, settings: dict[str, Any], wait_for: Wait
) -> None:
    (run,) = endpoints.start(settings)["runs"]
    waiting = endpoints.start({**settings, "learning_rate": "1e-4, 5e-5"}, "rates")
    assert len(waiting["runs"]) == 2 and waiting["words"].startswith("Queued")
    assert [line["id"] for line in endpoints.list()] == [*reversed(waiting["runs"]), run] or len(endpoints.list()) == 3
    assert endpoints.stop(waiting["runs"][0])["state"] == "cancelled"
    wait_for(lambda: endpoints.state(run)["step"] > 0)
    endpoints.stop(waiting["runs"][1])
    endpoints.stop(run)
    wait_for(lambda: endpoints.state(run)["state"] == "stopped")
    assert endpoints.state(run)["saved"]


def test_nothing_is_started_that_is_wrong(endpoints: Endpoints, store: RunStore, settings: dict[str, Any]) -> None:
    for wrong in (
        {"learning_rate": "much"},
        {"learning_rat": 1},
        {"train_data_dir": str(store.root)},
        {"seed": "1, x"},
    ):
        with pytest.raises(ConfigError):
            endpoints.start({**settings, **wrong})
    with pytest.raises(UserError):
        endpoints.state("nothing")
    assert store.ids() == []


def test_secrets_are_kept_out_of_the_runs_folder(
    endpoints: Endpoints, store: RunStore, settings: dict[str, Any]
) -> None:
    endpoints.start(settings)
    (run,) = endpoints.start({**settings, "huggingface_token": "hf_x"})["runs"]
    assert store.entry(run).secrets == ("HF_TOKEN",)
    assert all(b"hf_x" not in file.read_bytes() for file in store.root.rglob("*") if file.is_file())
