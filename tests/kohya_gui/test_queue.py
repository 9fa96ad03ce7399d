"""Runs that wait: their order, their devices, and what they survive."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kohya_gui.runs import queue
from kohya_gui.runs.entry import Entry
from kohya_gui.runs.index import FILE, Index
from kohya_gui.runs.store import NoSuchRun, RunStore
from kohya_gui.runs.supervisor import CannotResume, NotRunning, NotWaiting, Supervisor

FAKE_ENGINE = (sys.executable, str(Path(__file__).with_name("fake_engine.py")))
Wait = Callable[..., Any]
ENDLESS = {"seed": 20, "max_train_steps": 100_000}
"""Goes on until somebody ends it, however slow the machine is that the test runs on."""
QUICK = {"seed": 1, "max_train_steps": 10}


@pytest.fixture(autouse=True)
def nothing_left_running(store: RunStore) -> Any:
    yield
    for run in store.living():
        process = store.process(run)[0]
        if process and process.pid != os.getpid():  # the real engine runs in this process
            os.kill(process.pid, signal.SIGKILL)


@pytest.fixture
def served(supervisor: Supervisor) -> Any:
    supervisor.serve()
    yield supervisor
    supervisor.close()


def again(store: RunStore) -> tuple[RunStore, Supervisor]:
    """The app, started again."""
    later = RunStore(store.root)
    return later, Supervisor(later, FAKE_ENGINE, patience=(60.0, 60.0))


def kill(store: RunStore, run: str, wait_for: Wait) -> None:
    os.kill(store.process(run)[0].pid, signal.SIGKILL)  # type: ignore[union-attr]
    wait_for(lambda: store.state(run) == "lost")


# Who is next


@pytest.mark.parametrize(("one", "other", "shared"), [
    ("all", "all", True), ("all", "0", True), ("0", "1", False), ("0,1", "1,2", True), ("0", "10", False), ("0, 1", "1", True),
])  # fmt: skip
def test_device_sets_share_a_device_or_not(one: str, other: str, shared: bool) -> None:
    assert queue.share(one, other) is queue.share(other, one) is shared


@pytest.mark.parametrize(("settings", "environment", "outside", "devices"), [
    ({}, {}, {}, "all"),
    ({"gpu_ids": "0, 1"}, {}, {}, "0,1"),
    ({"gpu_ids": "all"}, {}, {}, "all"),
    ({"gpu_ids": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}, {"CUDA_VISIBLE_DEVICES": "2"}, "1"),
    ({}, {}, {"CUDA_VISIBLE_DEVICES": "2"}, "2"),
])  # fmt: skip
def test_the_devices_are_those_that_are_asked_for(settings: Any, environment: Any, outside: Any, devices: str) -> None:
    assert queue.devices_of(settings, environment, outside) == devices


@pytest.mark.parametrize(("devices", "taken", "held", "started"), [
    (["all", "all"], [], set(), ["r0"]),
    (["all"], ["all"], set(), []),
    (["0", "1", "0"], [], set(), ["r0", "r1"]),
    (["all", "1"], ["0"], set(), []),  # the first waits for both; nobody overtakes it
    (["0", "0"], [], {"r0"}, ["r1"]),
])  # fmt: skip
def test_a_run_starts_when_its_devices_are_free(devices: Any, taken: Any, held: set[str], started: Any) -> None:
    entries = {f"r{number}": Entry(devices=device) for number, device in enumerate(devices)}
    assert queue.startable(list(entries), entries, taken, held) == started


@pytest.mark.parametrize(("run", "move", "order"), [
    ("c", "up", "acb"), ("a", "up", "abc"), ("a", "down", "bac"), ("c", "down", "abc"), ("c", "first", "cab"), ("a", "last", "bca"),
])  # fmt: skip
def test_a_run_moves_in_the_queue(run: str, move: Any, order: str) -> None:
    assert queue.moved(list("abc"), run, move) == list(order)


# The queue at work


def test_a_second_run_waits_for_the_first(served: Supervisor, store: RunStore, wait_for: Wait) -> None:
    first = served.enqueue("first", ENDLESS, {})
    second = served.enqueue("second", QUICK, {})
    assert (served.words_of(first), served.words_of(second)) == (
        "Started.", "Queued: it starts when the run that goes on is over.",
    )  # fmt: skip
    third = served.enqueue("third", QUICK, {})
    assert served.words_of(third) == "Queued: 1 run before it."
    assert [store.state(run) for run in (second, third)] == ["queued", "queued"]
    served.stop_now(first).join()
    wait_for(lambda: store.state(third) == "done")
    assert store.reader(second).last < store.reader(third).began  # type: ignore[operator]


def test_a_run_that_fails_does_not_stop_the_queue(served: Supervisor, store: RunStore, wait_for: Wait) -> None:
    runs = [
        served.enqueue(name, {**QUICK, "training_comment": comment}, {})
        for name, comment in (("good", ""), ("bad", "fail at start"), ("crash", "crash"), ("last", ""))
    ]
    wait_for(lambda: store.state(runs[-1]) == "done")
    assert [store.state(run) for run in runs] == ["done", "failed", "lost", "done"]


def test_runs_on_other_devices_go_on_at_once(served: Supervisor, store: RunStore, wait_for: Wait) -> None:
    runs = [served.enqueue("x", ENDLESS, {"CUDA_VISIBLE_DEVICES": device}) for device in ("0", "1", "0")]
    assert [store.process(run)[0] is not None for run in runs] == [True, True, False]


def test_the_order_can_be_changed_and_a_run_taken_out(served: Supervisor, store: RunStore, wait_for: Wait) -> None:
    served.enqueue("first", ENDLESS, {})
    a, b, c = (served.enqueue(name, QUICK, {}) for name in "abc")
    assert served.waiting() == [a, b, c]
    served.move(c, "first")
    served.cancel(b)
    assert served.waiting() == [c, a]
    assert store.state(b) == "cancelled"
    assert [again(store)[1].waiting(), store.index.entry(c).place] == [[c, a], 1.0]
    served.resume(b)
    assert served.waiting() == [c, a, b]
    for action in (lambda: served.cancel("nothing"), lambda: served.move("nothing", "up")):
        with pytest.raises((NoSuchRun, NotWaiting)):
            action()


def test_only_one_that_waits_can_be_cancelled(served: Supervisor, store: RunStore, wait_for: Wait) -> None:
    run = served.enqueue("first", QUICK, {})
    with pytest.raises(NotWaiting) as error:
        served.cancel(run)
    assert str(error.value) == f"{run} does not wait in the queue any more."


def test_a_duplicate_has_the_same_settings(served: Supervisor, store: RunStore, wait_for: Wait) -> None:
    run = served.enqueue("first", {**QUICK, "network_dim": 7}, {"CUDA_VISIBLE_DEVICES": "1"})
    copy = served.duplicate(run)
    own = {"run_dir": str(store.root / copy)}
    assert copy != run and store.settings(copy) == {**store.settings(run), **own}
    assert (store.entry(copy).devices, store.entry(copy).name) == ("1", "first")
    wait_for(lambda: store.state(copy) == "done")


def test_the_queue_outlives_the_app(supervisor: Supervisor, store: RunStore, wait_for: Wait) -> None:
    first = supervisor.enqueue("first", ENDLESS, {})
    second = supervisor.enqueue("second", QUICK, {})
    later, app = again(store)
    assert app.waiting() == [second]
    app.serve()
    wait_for(lambda: later.reader(first).step > 0)
    app.ask(first, "stop")
    wait_for(lambda: later.state(second) == "done")
    assert later.state(first) == "stopped"
    app.close()


def test_only_one_app_starts_a_run(supervisor: Supervisor, store: RunStore, wait_for: Wait) -> None:
    store.create("x", QUICK, status="queued")
    others = [again(store)[1] for _ in range(4)]
    for app in others:
        app.serve()
    run = store.ids()[0]
    wait_for(lambda: store.state(run) == "done")
    assert store.reader(run).attempt == 1
    for app in others:
        app.close()


def test_a_start_that_was_cut_short_is_made_again(supervisor: Supervisor, store: RunStore, wait_for: Wait) -> None:
    run = store.create("x", QUICK, status="starting")
    supervisor.look()
    assert store.state(run) == "starting"
    a_minute_ago = time.time() - 60
    os.utime(store.root / run / "run.json", (a_minute_ago, a_minute_ago))
    supervisor.look()
    supervisor.look()
    wait_for(lambda: store.state(run) == "done")


# Secrets


def test_the_secrets_of_waiting_runs_are_only_in_memory(served: Supervisor, store: RunStore, wait_for: Wait) -> None:
    first = served.enqueue("first", ENDLESS, {})
    second = served.enqueue("second", QUICK, {"HF_TOKEN": "hf_x"})
    for file in store.root.rglob("*"):
        assert not file.is_file() or b"hf_x" not in file.read_bytes()
    later, app = again(store)
    held = app.held(second, later.entry(second))
    assert held == (
        "The app was started anew and keeps no secrets on disk: give HF_TOKEN again, or start the run without."
    )
    served.close()
    served.stop_now(first).join()
    app.look()
    assert later.state(second) == "queued"
    app.give_secrets(second, {"HF_TOKEN": "hf_x"})
    wait_for(lambda: (app.look(), later.state(second))[1] == "done")


# Pause, resume, what broke off


def test_a_paused_run_goes_on_where_it_stood(served: Supervisor, store: RunStore, wait_for: Wait) -> None:
    run = served.enqueue("first", ENDLESS, {})
    wait_for(lambda: store.reader(run).step > 4)
    served.pause(run)
    wait_for(lambda: store.state(run) == "paused" and not store.living())
    step = store.reader(run).step
    assert store.describe(run)["state_step"] == step
    given = store.settings(run)
    served.resume(run)
    wait_for(lambda: store.reader(run).step > step)
    served.change(run, {"total_steps": 1})  # which is over, so it ends now
    wait_for(lambda: store.state(run) == "done")
    assert store.reader(run).attempt == 2
    starts = [event for event in store.folder(run).read()[0] if event["kind"] == "start"]
    assert starts[1]["resumed_step"] == step
    assert store.settings(run) == given and "resume" not in given


def test_a_stopped_run_is_not_called_paused(served: Supervisor, store: RunStore, wait_for: Wait) -> None:
    run = served.enqueue("first", ENDLESS, {})
    wait_for(lambda: store.reader(run).step > 1)
    served.pause(run)
    served.ask(run, "stop") if store.process(run)[0] else None
    wait_for(lambda: store.state(run) in ("stopped", "paused"))
    with pytest.raises(NotRunning):
        wait_for(lambda: not store.living()) and served.pause(run)


def test_a_killed_run_is_offered_and_resumed_on_request(served: Supervisor, store: RunStore, wait_for: Wait) -> None:
    run = served.enqueue("first", {**ENDLESS, "save_state": True}, {})
    wait_for(lambda: store.reader(run).step > 2)
    served.ask(run, "save")
    wait_for(lambda: any(saved["what"] == "state" for saved in store.reader(run).saved))
    kill(store, run, wait_for)
    described = store.describe(run)
    assert described["resumable"] and described["state_step"] == store.reader(run).saved[-1]["step"]
    served.resume(run)
    wait_for(lambda: store.reader(run).attempt == 2 and store.reader(run).step > described["state_step"])
    served.stop_now(run).join()
    wait_for(lambda: store.state(run) == "stopped")
    reader = store.reader(run)
    assert [point[0] for point in reader.curve_since(-1, 0)["points"]] == list(range(1, reader.step + 1))  # type: ignore[attr-defined]


def test_a_lost_run_comes_back_by_itself_where_that_is_asked_for(
    supervisor: Supervisor, store: RunStore, wait_for: Wait
) -> None:
    run = supervisor.enqueue("first", {**ENDLESS, "save_state": True}, {})
    wait_for(lambda: store.reader(run).step > 2)
    supervisor.ask(run, "save")
    wait_for(lambda: any(saved["what"] == "state" for saved in store.reader(run).saved))
    kill(store, run, wait_for)
    (store.root / run / "process.json").unlink()  # as after a power loss: nobody saw it end
    later, app = again(store)
    app.serve(resume_lost=True)
    wait_for(lambda: later.reader(run).attempt == 2 and later.state(run) == "training")
    app.close()


def test_a_run_that_was_ended_on_purpose_stays_ended(supervisor: Supervisor, store: RunStore, wait_for: Wait) -> None:
    supervisor.engines.patience = (0.1, 0.1)
    run = supervisor.enqueue("first", {**ENDLESS, "training_comment": "deaf"}, {})
    wait_for(lambda: store.reader(run).step > 2)
    supervisor.stop_now(run).join()
    wait_for(lambda: store.state(run) == "lost")
    supervisor.resume_lost = True
    supervisor.reconcile()
    assert store.state(run) == "lost"


def test_a_run_without_a_saved_state_says_so(supervisor: Supervisor, store: RunStore, wait_for: Wait) -> None:
    run = supervisor.enqueue("first", ENDLESS, {})
    wait_for(lambda: store.reader(run).step > 2)
    kill(store, run, wait_for)
    with pytest.raises(CannotResume) as error:
        supervisor.resume(run)
    assert str(error.value) == (
        f"{run} has left no saved state to go on from; duplicate it to train it from the start."
    )
    done = supervisor.enqueue("second", QUICK, {})
    wait_for(lambda: store.state(done) == "done")
    with pytest.raises(CannotResume) as error:
        supervisor.resume(done)
    assert str(error.value) == f"{done} can't be resumed, because it is done; only one that broke off can."


def test_a_state_that_another_run_wrote_over_is_not_taken(
    store: RunStore, write_run: Callable[..., str], tmp_path: Path
) -> None:
    folder = tmp_path / "x-state"
    folder.mkdir()
    (folder / "train_state.json").write_text(json.dumps({"current_step": 5}))
    old = {"kind": "saved", "step": 5, "file": str(folder), "what": "state", "time": time.time() - 3600}
    run = write_run({"kind": "state", "state": "training"}, old)
    assert store.describe(run)["state_step"] is None


# The index


def test_a_lost_or_damaged_index_is_made_again_from_the_folders(store: RunStore) -> None:
    first = store.create("first", QUICK, status="queued", place=2.0, sweep="s")
    second = store.create("second", QUICK, status="queued", place=1.0)
    store.index.change(first, tags=("good", "blue"), notes="a note")
    before = store.overview(10)
    store.index.close()
    for damage in (lambda file: file.unlink(), lambda file: file.write_bytes(b"no database" * 1000)):
        damage(store.root / FILE)
        for name in (f"{FILE}-wal", f"{FILE}-shm"):
            (store.root / name).unlink(missing_ok=True)
        later = RunStore(store.root)
        assert later.overview(10) == before
        assert (later.entry(first).tags, later.entry(first).notes) == (("good", "blue"), "a note")
        assert queue.waiting({run: row.entry for run, row in later.rows().items()}) == [second, first]
        later.index.close()


def test_an_entry_changed_by_hand_is_seen(store: RunStore) -> None:
    run = store.create("first", QUICK)
    file = store.root / run / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "tags": ["new"], "place": "no number"}))
    os.utime(file, (time.time() + 5, time.time() + 5))
    assert (store.rows()[run].entry.tags, store.rows()[run].entry.place) == (("new",), 0.0)


def test_five_hundred_runs_are_listed_without_reading_them_again(
    store: RunStore, write_run: Callable[..., str]
) -> None:
    for number in range(500):
        write_run({"kind": "step", "step": 1, "loss": 0.1}, {"kind": "state", "state": "done"}, name=f"run-{number}")
    assert len(store.overview(1000)) == 500
    later = RunStore(store.root)
    assert len(later.overview(1000)) == 500
    assert not later._readers, "the index spares reading the events again"


def test_changes_of_one_entry_from_many_threads_all_arrive(store: RunStore) -> None:
    import threading

    run = store.create("first", QUICK)
    indexes = [Index(store.root) for _ in range(4)]

    def count(index: Index) -> None:
        for _ in range(10):
            done = False
            while not done:
                place = index.entry(run).place
                done = index.change_if(run, lambda entry, seen=place: entry.place == seen, place=place + 1)[1]

    threads = [threading.Thread(target=count, args=(index,)) for index in indexes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.entry(run).place == 40


# The real engine


def test_the_engine_goes_on_in_the_same_folder_and_ends_in_the_same_weights(
    train: Any, tiny_settings: dict[str, Any], store: RunStore
) -> None:
    """What `resume` writes is what the engine reads."""
    from sd_scripts.train import main

    settings = {**tiny_settings, "save_every_n_steps": 2, "save_state": True, "network_dropout": 0.2}
    run = store.create("tiny", {key: value for key, value in settings.items() if key != "run_dir"})
    config, output = store.folder(run).config, Path(str(tiny_settings["output_dir"]))
    assert main(["--config_file", str(config)]) == 0
    whole = (output / "tiny.safetensors").read_bytes()
    store.set_resume(run, output / "tiny-step00000004-state")
    assert main(["--config_file", str(config)]) == 0
    reader = store.reader(run)
    assert (reader.attempt, reader.step, reader.state) == (2, 6, "done")
    assert _tensors((output / "tiny.safetensors").read_bytes()) == _tensors(whole)
    assert "resume" not in store.settings(run)


def _tensors(file: bytes) -> bytes:
    """What follows the header, in which times are noted."""
    return file[8 + int.from_bytes(file[:8], "little") :]
