"""Keeps two starts at the same time from installing into one folder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from setup.console import Console

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a network folder without locks: going on is better than never starting
            return True
        return True


@contextmanager
def held(path: Path, console: Console) -> Iterator[int]:
    """Holds the lock at `path`, waiting as long as another start holds it. Gives the descriptor that carries it.

    The lock lives as long as any process has the descriptor open. Installers inherit it, so one that outlives
    a killed start still keeps the next start waiting.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _try_lock(descriptor):
            _wait(descriptor, console)
        yield descriptor
    finally:
        os.close(descriptor)


def _wait(descriptor: int, console: Console) -> None:
    console.begin("Another start is setting up this folder; waiting for it")
    while not _try_lock(descriptor):
        time.sleep(0.3)
        console.moving("")
    console.end("free")
