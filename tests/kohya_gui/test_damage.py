"""Whatever happens to a run folder, to the index or to the machine, the page tells all other runs as before."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kohya_gui.runs import index
from kohya_gui.runs import store as stores
from kohya_gui.runs.last_words import why
from kohya_gui.runs.listing import Listing
from kohya_gui.runs.process import Process, beating, beats_elsewhere
from kohya_gui.runs.store import RunStore
from kohya_gui.runs.supervisor import NotRunning, Supervisor
from sd_scripts.events import BadOutputFolder, boot_id

WriteRun = Callable[..., str]
TRAINING = ({"kind": "state", "state": "training"}, {"kind": "step", "step": 1, "epoch": 1, "loss": 0.1, "lr": {}})
ELSEWHERE = "another start of a machine"


@pytest.mark.parametrize(("file", "content"), [
    ("run.json", "{"),
    ("run.json", "[1, 2]"),
    ("run.json", '{"status": "flying", "tags": "x", "place": null}'),
    ("heartbeat", "[]"),
    ("heartbeat", '{"pid": "x", "time": []}'),
    ("process.json", "{}"),
    ("process.json", '{"pid": "x", "began": "y", "returncode": "z"}'),
    ("config.toml", "\x00 = ="),
    ("events.jsonl", '{"kind": "step", "step": "x"}\n{"kind": "plan", "total_steps": []}\n{"kind": "state"}\n[1]\n'),
    ("events.jsonl", '{"time": "noon", "kind": "sample"}\n{"kind": "changed", "step": null}\n\x00\x00\x00'),
])  # fmt: skip
def test_a_damaged_file_hides_no_run(
    supervisor: Supervisor, store: RunStore, write_run: WriteRun, file: str, content: str
) -> None:
    write_run(*TRAINING, {"kind": "state", "state": "done"}, name="good")
    bad = write_run(*TRAINING, name="bad")
    (store.root / bad / file).write_text(content)
    assert {line["id"]: line["state"] for line in store.overview(10)} == {"good": "done", "bad": "lost"}
    assert len(Listing(supervisor).since("", -1)["lines"]) == 2
    assert store.describe(bad)["failure"]["sentence"]
    supervisor.reconcile()
    supervisor.look()


def test_events_after_a_damaged_one_are_read(store: RunStore, write_run: WriteRun) -> None:
    run = write_run({"kind": "step", "step": "x"}, *TRAINING)
    assert store.reader(run).step == 1


def test_a_run_that_has_never_begun_says_so(store: RunStore) -> None:
    run = store.create("x", {})
    assert store.describe(run)["failure"]["sentence"] == (
        "Its engine has never begun, or its events were deleted; duplicate it to start it anew."
    )


def test_a_run_deleted_while_the_list_is_made_is_left_out(
    supervisor: Supervisor, store: RunStore, write_run: WriteRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        write_run(*TRAINING, name=name)
    line = store.line

    def vanishing(run_id: str, row: index.Row) -> dict[str, object]:
        if run_id == "one":
            raise stores.NoSuchRun("gone")
        return line(run_id, row)

    monkeypatch.setattr(store, "line", vanishing)
    assert Listing(supervisor).since("", -1)["order"] == ["two"]
    assert [run["id"] for run in store.overview(10)] == ["two"]


def test_a_run_that_broke_off_is_read_once(store: RunStore, write_run: WriteRun) -> None:
    run = write_run(*TRAINING)
    assert store.state(run) == "lost"
    later = RunStore(store.root)
    assert (later.overview(1)[0]["state"], later.overview(1)[0]["step"]) == ("lost", 1)
    assert not later._readers, "the index spares reading the events again"


# The disk


def test_the_list_does_not_need_the_index(store: RunStore, write_run: WriteRun) -> None:
    write_run(*TRAINING, {"kind": "state", "state": "done"}, name="good")
    (store.root / index.FILE).mkdir()  # a database that can't be opened
    assert [line["state"] for line in store.overview(10)] == ["done"]


def test_a_run_without_room_leaves_nothing_behind(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stores, "write_whole", full)
    with pytest.raises(BadOutputFolder) as caught:
        store.create("x", {})
    assert str(caught.value) == f"The run can't be written to {store.root} (No space left on device); make room there."
    assert list(store.root.iterdir()) == []


# Processes and machines


def test_after_a_power_loss_a_stranger_with_the_same_number_is_not_the_engine(
    store: RunStore, write_run: WriteRun
) -> None:
    """The clock may have gone wrong meanwhile, so that the stranger seems to be older than the last heartbeat."""
    run = write_run(*TRAINING)
    beat = {"pid": os.getpid(), "boot": ELSEWHERE, "time": time.time() + 7200}
    store.folder(run).heartbeat.write_text(json.dumps(beat))
    assert beating(beat) is None
    assert store.state(run) == "lost"


def test_a_clock_that_was_set_does_not_hide_an_engine(store: RunStore, write_run: WriteRun) -> None:
    """The moment at which a process began is reckoned from the clock."""
    run, mine = write_run(*TRAINING), Process.of(os.getpid())
    assert mine
    store.note_process(run, Process(mine.pid, mine.began - 3600))
    store.folder(run).heartbeat.write_text(json.dumps({"pid": mine.pid, "boot": boot_id(), "time": time.time()}))
    assert (store.state(run), store.process(run)) == ("training", (mine, None))


def test_an_engine_on_another_machine_is_alive_while_its_heart_beats(
    supervisor: Supervisor, store: RunStore, write_run: WriteRun
) -> None:
    run = write_run(*TRAINING)
    beat = {"pid": os.getpid(), "boot": ELSEWHERE, "time": time.time()}
    store.folder(run).heartbeat.write_text(json.dumps(beat))
    assert (store.state(run), store.process(run)[0], store.describe(run)["alive"]) == ("training", None, True)
    supervisor.stop_now(run).join()  # which must not end the process of that number here
    assert store.folder(run).requested("stop_now")
    store.folder(run).heartbeat.write_text(json.dumps({**beat, "time": time.time() - 60}))
    assert not beats_elsewhere(store.folder(run).alive())
    with pytest.raises(NotRunning):
        supervisor.ask(run, "stop")


@pytest.mark.parametrize(("code", "log", "sentence"), [
    (None, "", "The engine ended without saying why; the machine or the process may have been switched off."),
    (-9, "", "The engine was killed, most often because memory ran out; try a smaller batch or resolution."),
    (-11, "", "A library that the engine uses has crashed (SIGSEGV); update the driver of the GPU or the packages."),
    (-30, "", "The engine was ended by signal 30."),
    (1, "no words", "The engine ended on its own with code 1; the end of its log says more."),
    (1, "ValueError: first.\nTraceback ...\n  raise x\ntorch.cuda.CudaError: no device.\n",
     "The engine ended on its own with code 1: torch.cuda.CudaError: no device; the end of its log says more."),
])  # fmt: skip
def test_how_an_engine_ended_is_told(code: int | None, log: str, sentence: str) -> None:
    assert why(code, log) == sentence
