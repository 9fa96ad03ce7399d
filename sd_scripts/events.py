"""The run folder: all that the engine and the web app have in common while training runs. No torch in here.

config.toml command.txt    what was started          events.jsonl   what happened, one JSON object a line
console.log                what was printed          samples/       pictures drawn on the way
heartbeat                  who is alive, rewritten every few seconds
control/stop, stop_now, save, sample                 empty files: what the app asks of the engine
control/change             JSON: what shall be different from the next step on (see changes.py)
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from .errors import UserError
from .whole import write_whole

Request = Literal["stop", "stop_now", "save", "sample"]
CHANGE = "change"
HEARTBEAT_SECONDS = 2.0
MOST_WAITING_BYTES = 1 << 20
MANY = ("step", "progress")
"""Kinds of events of which some may be lost while the disk is full."""


class BadOutputFolder(UserError):
    """The output folder can't be written."""


def make_folder(folder: Path, key: str = "output_dir") -> Path:
    """The folder, made where it was missing and proved to be writable. Raises BadOutputFolder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}.probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadOutputFolder(
            f"{key}: The folder {folder} can't be written to ({reason}); choose another or change its rights."
        ) from error
    return folder


class RunFolder:
    """One run's files. Making the object touches nothing; `create` makes the folder."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.toml"
        self.command = self.path / "command.txt"
        self.events = self.path / "events.jsonl"
        self.console = self.path / "console.log"
        self.samples = self.path / "samples"
        self.heartbeat = self.path / "heartbeat"
        self.control = self.path / "control"

    def create(self) -> RunFolder:
        make_folder(self.path, "run_dir")
        self.samples.mkdir(exist_ok=True)
        self.control.mkdir(exist_ok=True)
        return self

    def request(self, what: Request) -> None:
        """The app's side: ask the engine for something."""
        self.control.mkdir(parents=True, exist_ok=True)
        (self.control / what).touch()

    def requested(self, what: Request) -> bool:
        return (self.control / what).exists()

    def take(self, what: Request) -> bool:
        """The engine's side: whether it was asked for, which is then forgotten."""
        try:
            (self.control / what).unlink()
        except OSError:
            return False
        return True

    def request_change(self, change: Mapping[str, float]) -> None:
        """The app's side: ask for other rates or another end. What was asked for and not yet heard stays asked."""
        self.control.mkdir(parents=True, exist_ok=True)
        write_whole(self.control / CHANGE, json.dumps({**_object(self.control / CHANGE), **change}))

    def take_change(self) -> dict[str, float]:
        """The engine's side: the change that was asked for, which is then forgotten; empty where there is none."""
        taken = self.control / f"{CHANGE}.taken"
        try:
            os.replace(self.control / CHANGE, taken)  # what is asked for from now on is another change
        except OSError:
            return {}
        change = _object(taken)
        taken.unlink(missing_ok=True)
        return change

    def forget_requests(self) -> None:
        """Nothing that was asked of an earlier attempt reaches the next one."""
        for file in self.control.glob("*"):
            file.unlink(missing_ok=True)

    def alive(self) -> dict[str, Any] | None:
        """pid, boot, time and step of the newest heartbeat; None where there is none yet."""
        return _object(self.heartbeat) or None

    def read(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Events from a byte offset on, and the offset to go on from. Half-written and foreign lines are passed
        over."""
        try:
            with self.events.open("rb") as file:
                file.seek(offset)
                data = file.read()
        except OSError:
            return [], offset
        whole = data.rfind(b"\n") + 1
        return list(objects(data[:whole])), offset + whole


def _object(file: Path) -> dict[str, Any]:
    """The JSON object in the file; an empty one where there is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def objects(data: bytes) -> Iterator[dict[str, Any]]:
    """Those that these lines hold. They are read at one go, which is twice as fast, and one by one only where some
    line is damaged."""
    lines = [line for line in data.split(b"\n") if line]
    try:
        found = json.loads(b"[" + b",".join(lines) + b"]")
    except ValueError:
        found = map(_read, lines)
    return (event for event in found if isinstance(event, dict))


def _read(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


class Events:
    """Writes what happens. Without a folder (processes other than the first) it writes nothing.

    A full disk does not end a training that may still be saved: what has no room waits for some.
    """

    def __init__(self, run: RunFolder | None) -> None:
        self._lock = threading.Lock()
        self._waiting = b""
        self._file = None if run is None else run.events.open("ab", buffering=0)
        if run is not None and self._file and _ends_torn(run.events):
            self._waiting = b"\n"

    def write(self, kind: str, **fields: Any) -> None:
        if self._file is None:
            return
        line = json.dumps({"time": round(time.time(), 3), "kind": kind, **fields}, ensure_ascii=False, default=str)
        with self._lock:
            if len(self._waiting) < MOST_WAITING_BYTES or kind not in MANY:
                self._waiting += line.encode() + b"\n"
            with contextlib.suppress(OSError):
                while self._waiting:
                    self._waiting = self._waiting[self._file.write(self._waiting) :]

    def state(self, state: str, message: str = "") -> None:
        self.write("state", state=state, message=message)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _ends_torn(events: Path) -> bool:
    """A killed run may have left half a line, which would swallow the next event."""
    with events.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read() not in (b"", b"\n")


@cache
def boot_id() -> str:
    """Another one after each start of the machine; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


class Heartbeat:
    """A thread that shows every few seconds that this process lives, even while a long step runs."""

    def __init__(self, run: RunFolder, step: Callable[[], int]) -> None:
        self._run, self._step = run, step
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(timeout=HEARTBEAT_SECONDS)

    def _beat(self) -> None:
        while True:
            beat = {"pid": os.getpid(), "boot": boot_id(), "time": time.time(), "step": self._step()}
            with contextlib.suppress(OSError):  # a full disk must not end a run that may still be saved
                write_whole(self._run.heartbeat, json.dumps(beat), lasting=False)
            if self._over.wait(HEARTBEAT_SECONDS):
                return
