"""The run folder: written by the engine, read by the app, each whole."""

import errno
import json
import os
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import pytest

from sd_scripts.events import BadOutputFolder, Events, Heartbeat, RunFolder, boot_id, make_folder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run").create()


def test_what_is_written_is_read_with_its_time(run: RunFolder) -> None:
    with closing(Events(run)) as events:
        events.state("loading", "Loading a model")
        events.write("step", step=1, epoch=1, loss=0.5, average_loss=0.5, lr={"unet": 1e-4})
    (state, step), offset = run.read()
    assert (state["kind"], state["state"], state["message"]) == ("state", "loading", "Loading a model")
    assert step["loss"] == 0.5 and abs(step["time"] - time.time()) < 60
    assert run.read(offset) == ([], offset)


def test_half_a_line_is_left_for_later(run: RunFolder) -> None:
    run.events.write_bytes(b'{"kind": "state"}\n{"kind": "st')
    events, offset = run.read()
    assert [event["kind"] for event in events] == ["state"]
    assert offset == len(b'{"kind": "state"}\n')


def test_a_killed_runs_half_line_does_not_swallow_the_next_event(run: RunFolder) -> None:
    run.events.write_bytes(b'{"kind": "st')
    with closing(Events(run)) as events:
        events.state("starting")
    assert [event["kind"] for event in run.read()[0]] == ["state"]


def test_events_of_many_threads_stay_whole_lines(run: RunFolder) -> None:
    events = Events(run)
    threads = [threading.Thread(target=lambda: [events.write("step", step=i) for i in range(100)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events.close()
    assert len(run.read()[0]) == 400


class FullDisk:
    """A file that takes `room` bytes."""

    def __init__(self, file: BinaryIO, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = data[: self.room]
        self.room -= len(taken)
        return self.file.write(taken)

    def close(self) -> None:
        self.file.close()


def test_a_full_disk_ends_nothing_and_loses_nothing(run: RunFolder) -> None:
    events = Events(run)
    events.close()
    disk = events._file = FullDisk(run.events.open("ab", buffering=0), room=100)  # type: ignore[assignment]
    for step in range(5):
        events.write("step", step=step)
    assert len(run.read()[0]) < 5
    disk.room = 10_000
    events.state("done")
    events.close()
    assert [event.get("step", event["kind"]) for event in run.read()[0]] == [0, 1, 2, 3, 4, "state"]


def test_a_request_is_taken_once(run: RunFolder) -> None:
    assert not run.take("stop")
    run.request("stop")
    assert run.requested("stop")
    assert run.take("stop") and not run.take("stop")


def test_the_heartbeat_tells_who_lives_and_where(run: RunFolder) -> None:
    assert run.alive() is None
    with Heartbeat(run, lambda: 7):
        deadline = time.monotonic() + 5
        while run.alive() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    beat = json.loads(run.heartbeat.read_text())
    assert (beat["step"], beat["pid"], beat["boot"]) == (7, os.getpid(), boot_id())
    for broken in ("", "[1]", '{"pid": 1'):
        run.heartbeat.write_text(broken)
        assert run.alive() is None


def test_an_output_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(BadOutputFolder) as caught:
        make_folder(file / "inside")
    assert str(caught.value) == (
        f"output_dir: The folder {file / 'inside'} can't be written to (Not a directory); choose another or change its rights."
    )
