"""Engines started, stopped and found again."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kohya_gui.runs.store import RunStore
from kohya_gui.runs.supervisor import NotRunning, Supervisor
from sd_scripts.config import load

Wait = Callable[..., Any]
ENDLESS = {"seed": 20, "max_train_steps": 100_000}


@pytest.fixture(autouse=True)
def nothing_left_running(store: RunStore) -> Any:
    yield
    for run in store.living():
        process = store.process(run)[0]
        if process:
            os.kill(process.pid, signal.SIGKILL)


def test_a_run_goes_from_start_to_done(supervisor: Supervisor, store: RunStore, wait_for: Wait) -> None:
    run = supervisor.start("demo", {"max_train_steps": 20, "seed": 1}, {})
    wait_for(lambda: store.state(run) == "done")
    described = store.describe(run)
    assert (described["step"], described["total"], described["failure"]) == (20, 20, None)
    assert run.endswith("-demo")
    command = shlex.split((store.root / run / "command.txt").read_text())
    assert command == [*supervisor.engines.command, "--config_file", str(store.root / run / "config.toml")]


def test_the_engine_leads_a_process_group_of_its_own(supervisor: Supervisor, store: RunStore, wait_for: Wait) -> None:
    run = supervisor.start("demo", ENDLESS, {})
    process = store.process(run)[0]
    assert process and os.getpgid(process.pid) == process.pid != os.getpgid(0)
    supervisor.stop_now(run).join()
    wait_for(lambda: not store.process(run)[0])


def test_stop_saves_first(supervisor: Supervisor, store: RunStore, wait_for: Wait) -> None:
    run = supervisor.start("demo", ENDLESS, {})
    wait_for(lambda: store.reader(run).step > 0)
    supervisor.ask(run, "stop")
    wait_for(lambda: store.state(run) == "stopped")
    assert [saved["what"] for saved in store.reader(run).saved] == ["model", "state"]


def test_save_and_sample_go_on(supervisor: Supervisor, store: RunStore, wait_for: Wait) -> None:
    run = supervisor.start("demo", ENDLESS, {})
    wait_for(lambda: store.reader(run).step > 0)
    supervisor.ask(run, "save")
    supervisor.ask(run, "sample")
    wait_for(lambda: store.reader(run).saved and len(store.reader(run).samples) > 3)
    assert store.process(run)[0]
    supervisor.stop_now(run).join()
    wait_for(lambda: store.state(run) == "stopped")
    assert len(store.reader(run).saved) == 1


def test_an_engine_that_does_not_listen_is_ended(supervisor: Supervisor, store: RunStore, wait_for: Wait) -> None:
    supervisor.engines.patience = (0.1, 0.1)
    run = supervisor.start("demo", {**ENDLESS, "training_comment": "deaf"}, {})
    wait_for(lambda: store.reader(run).step > 0)
    supervisor.stop_now(run).join()
    wait_for(lambda: store.state(run) == "lost")


def test_a_second_app_finds_the_run_of_the_first(supervisor: Supervisor, store: RunStore, wait_for: Wait) -> None:
    run = supervisor.start("demo", ENDLESS, {})
    later = RunStore(store.root)
    wait_for(lambda: later.reader(run).step > 0)
    assert later.living() == [run]
    Supervisor(later).ask(run, "stop")
    wait_for(lambda: later.state(run) == "stopped")


def test_a_run_that_fails_at_its_start_says_why(supervisor: Supervisor, store: RunStore, wait_for: Wait) -> None:
    run = supervisor.start("demo", {"training_comment": "fail at start"}, {})
    wait_for(lambda: store.state(run) == "failed")
    assert (
        store.describe(run)["failure"]["sentence"]
        == "pretrained_model_name_or_path: nowhere.safetensors does not exist."
    )


def test_a_crash_nobody_foresaw_leads_to_the_log(supervisor: Supervisor, store: RunStore, wait_for: Wait) -> None:
    run = supervisor.start("demo", {"training_comment": "crash", "seed": 1}, {})
    wait_for(lambda: store.state(run) == "lost" and store.process(run)[1] is not None)
    sentence = store.describe(run)["failure"]["sentence"]
    assert sentence == (
        "The engine ended on its own with code 1: RuntimeError: something nobody thought of; "
        "the end of its log says more."
    )


def test_an_engine_that_is_killed_is_seen_to_be(supervisor: Supervisor, store: RunStore, wait_for: Wait) -> None:
    run = supervisor.start("demo", ENDLESS, {})
    process = wait_for(lambda: store.process(run)[0])
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: store.state(run) == "lost")
    wait_for(lambda: "killed" in store.describe(run)["failure"]["sentence"])


def test_asking_a_run_that_is_over_is_refused(supervisor: Supervisor, store: RunStore, wait_for: Wait) -> None:
    run = supervisor.start("demo", {"max_train_steps": 1, "seed": 1}, {})
    wait_for(lambda: store.state(run) == "done" and not store.living())
    for action in (lambda: supervisor.ask(run, "save"), lambda: supervisor.stop_now(run)):
        with pytest.raises(NotRunning) as error:
            action()
        assert str(error.value) == f"{run} is not running any more."


def test_an_engine_that_is_not_there_is_named(store: RunStore) -> None:
    run = Supervisor(store, ("/nowhere/python",)).start("demo", {}, {})
    described = store.describe(run)
    assert described["state"] == "failed"
    assert "check that /nowhere/python exists." in described["failure"]["sentence"]


def test_secrets_reach_the_engine_by_its_environment_only(store: RunStore, wait_for: Wait, tmp_path: Path) -> None:
    script = tmp_path / "engine.py"
    script.write_text(
        "import os, pathlib; pathlib.Path(__file__).with_name('seen').write_text(os.environ['HUGGINGFACE_TOKEN'])"
    )
    run = Supervisor(store, (sys.executable, str(script))).start(
        "demo", load.to_flat(load.from_flat({}).unwrap()), {"HUGGINGFACE_TOKEN": "hf_x"}
    )
    wait_for(lambda: (tmp_path / "seen").exists() and (tmp_path / "seen").read_text() == "hf_x")
    files = [file for file in (store.root / run).rglob("*") if file.is_file()]
    assert files and all("hf_x" not in file.read_text() for file in files)
