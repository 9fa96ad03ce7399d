"""Starts engines that outlive the app, and asks them to stop, save or draw. All it knows is in the run folders."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sd_scripts.changes import checked
from sd_scripts.errors import UserError
from sd_scripts.events import Events, RunFolder
from sd_scripts.whole import write_whole

from .process import Process, end
from .store import RunStore

ROOT = Path(__file__).resolve().parents[2]
ENGINE = (sys.executable, "-m", "sd_scripts.train")
STOP_SECONDS = 20.0
KILL_SECONDS = 10.0
ASKABLE = ("stop", "save", "sample")


class NotRunning(UserError):
    """What was asked for needs a run that is going on."""


class Engines:
    """command: what stands before `--config_file`. patience: seconds until SIGTERM, and from there until SIGKILL.
    ended: told the id of a run whose engine has ended."""

    def __init__(
        self,
        store: RunStore,
        command: Sequence[str] = ENGINE,
        patience: tuple[float, float] = (STOP_SECONDS, KILL_SECONDS),
        ended: Callable[[str], None] = lambda run_id: None,
    ) -> None:
        self.store = store
        self.command = tuple(command)
        self.patience = patience
        self._ended = ended

    def start(self, run_id: str, environment: Mapping[str, str]) -> None:
        """An engine that can't be started is told as every other failure: in the run's events."""
        folder = self.store.folder(run_id)
        command = [*self.command, "--config_file", str(folder.config)]
        write_whole(folder.command, quoted(command) + "\n")
        folder.forget_requests()
        _tell(folder, "state", state="starting", message="Starting the engine")
        surroundings = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", **environment}
        try:
            with folder.console.open("ab") as log:
                child = subprocess.Popen(  # noqa: S603
                    command, cwd=ROOT, env=surroundings, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **_detached()
                )
        except OSError as error:
            sentence = f"The engine could not be started ({error}); check that {command[0]} exists."
            _tell(folder, "failed", sentence=sentence, problems=[])
            return
        process = Process.of(child.pid) or Process(child.pid, time.time())
        self.store.note_process(run_id, process)
        threading.Thread(
            target=self._note_end, args=(run_id, process, child), name=f"end of {run_id}", daemon=True
        ).start()

    def _note_end(self, run_id: str, process: Process, child: subprocess.Popen[bytes]) -> None:
        """Only the process that started an engine learns how it ended."""
        code = child.wait()
        try:
            self.store.note_process(run_id, process, code)
        except (UserError, OSError):
            return  # the folder was deleted meanwhile
        self._ended(run_id)

    def ask(self, run_id: str, what: str) -> None:
        """Ask a running engine to `stop` (it saves first), `save` or `sample`. Raises NotRunning."""
        if what not in ASKABLE:
            raise NotRunning(f"{what!r} is nothing that a run can be asked for; it can be {', '.join(ASKABLE)}.")
        self.living(run_id)
        self.store.folder(run_id).request(what)  # type: ignore[arg-type]

    def change(self, run_id: str, asked: Mapping[str, Any]) -> None:
        """Other rates or another end from the next step on. Raises NotRunning, BadChange."""
        change = checked(asked)
        self.living(run_id)
        self.store.folder(run_id).request_change(change)

    def stop_now(self, run_id: str) -> threading.Thread:
        """Ask to stop without saving; the process is ended where it does not listen. Raises NotRunning."""
        self.living(run_id)
        self.store.folder(run_id).request("stop_now")
        process = self.store.process(run_id)[0]
        thread = threading.Thread(target=self._insist, args=(process,), name=f"stopping {run_id}", daemon=True)
        thread.start()
        return thread

    def living(self, run_id: str) -> None:
        """Raises NotRunning where it does not."""
        if not self.store.goes_on(run_id):
            raise NotRunning(f"{run_id} is not running any more.")

    def _insist(self, process: Process | None) -> None:
        """An engine on another machine can only be asked."""
        if process is None:
            return
        for seconds, at_once in zip(self.patience, (False, True), strict=True):
            deadline = time.monotonic() + seconds
            while process.alive() and time.monotonic() < deadline:
                time.sleep(0.1)
            end(process, at_once=at_once)


def _tell(folder: RunFolder, kind: str, **fields: Any) -> None:
    """What the engine can't say before it is there."""
    events = Events(folder)
    events.write(kind, **fields)
    events.close()


def _detached() -> dict[str, Any]:
    """Neither the app's end nor a Ctrl-C in its terminal reaches the engine."""
    if os.name == "nt":
        return {"creationflags": 0x00000008 | 0x00000200}  # DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP
    return {"start_new_session": True}


def quoted(words: Sequence[str]) -> str:
    """The words as one line for this system's shell."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
