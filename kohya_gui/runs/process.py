"""Whether an engine still lives. A process number alone does not say: it is given away again after a process ends,
and after the machine was switched off even a clock that goes wrong can make a stranger look like it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from sd_scripts.events import boot_id

START_TOLERANCE_SECONDS = 1.0
ELSEWHERE_SECONDS = 30.0


@dataclass(frozen=True)
class Process:
    """A process and the moment it began (unix seconds), which together are unique."""

    pid: int
    began: float

    @classmethod
    def of(cls, pid: int) -> Process | None:
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.Error:
            return None

    def alive(self) -> bool:
        try:
            found = psutil.Process(self.pid)
            is_same = abs(found.create_time() - self.began) <= START_TOLERANCE_SECONDS
            return is_same and bool(found.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False


def noted(note: Mapping[str, Any]) -> Process | None:
    """The process that the app has noted; None where the note is damaged."""
    try:
        return Process(int(note["pid"]), float(note["began"]))
    except (KeyError, TypeError, ValueError):
        return None


def beating(heartbeat: Mapping[str, Any] | None) -> Process | None:
    """The process that wrote a heartbeat since this machine was switched on, where it is not another one that got its
    number later."""
    if not heartbeat or not isinstance(heartbeat.get("pid"), int) or _is_of_another_boot(heartbeat):
        return None
    found = Process.of(heartbeat["pid"])
    return found if found and found.began <= _time(heartbeat) + START_TOLERANCE_SECONDS else None


def beats_elsewhere(heartbeat: Mapping[str, Any] | None) -> bool:
    """Whether an engine on another machine that has the same folder has shown of late that it lives."""
    if not heartbeat or not _is_of_another_boot(heartbeat):
        return False
    return abs(time.time() - _time(heartbeat)) < ELSEWHERE_SECONDS


def _is_of_another_boot(heartbeat: Mapping[str, Any]) -> bool:
    return heartbeat.get("boot") not in (None, "", boot_id())


def _time(heartbeat: Mapping[str, Any]) -> float:
    time = heartbeat.get("time")
    return float(time) if isinstance(time, int | float) else 0.0


def end(process: Process, *, at_once: bool) -> None:
    """Ask the process and all it started to end, or end them."""
    if not process.alive():
        return
    with contextlib.suppress(ProcessLookupError, PermissionError, psutil.Error):
        if hasattr(os, "killpg") and os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGKILL if at_once else signal.SIGTERM)
            return
        family = psutil.Process(process.pid)
        for member in [family, *family.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                member.kill() if at_once else member.terminate()
