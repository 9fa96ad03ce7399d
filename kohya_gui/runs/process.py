"""Whether an engine still lives. A process number alone does not say: it is given away again after a process ends."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil

START_TOLERANCE_SECONDS = 1.0


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


def beating(heartbeat: Mapping[str, Any] | None) -> Process | None:
    """The process that wrote a heartbeat, where it is not another one that got its number later."""
    if not heartbeat or not isinstance(heartbeat.get("pid"), int):
        return None
    found = Process.of(heartbeat["pid"])
    return found if found and found.began <= float(heartbeat.get("time", 0)) + START_TOLERANCE_SECONDS else None


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
