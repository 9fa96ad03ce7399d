"""How busy this machine is, at little cost however many ask."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import psutil

FRESH_SECONDS = 2.0
NVIDIA = ("--query-gpu=name,utilization.gpu,memory.used,memory.total,temperature.gpu", "--format=csv,noheader,nounits")
MEGABYTE = 1 << 20


class Machine:
    """Looks when asked, at most every two seconds. The GPUs are asked in a thread: their answer may take its time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self._found: dict[str, Any] = {}
        self._gpus: list[dict[str, Any]] = []
        self._asking: threading.Thread | None = None
        self._program = shutil.which("nvidia-smi")
        self._idle, self._all = _processor_seconds()
        self._busy = 0.0

    def load(self) -> dict[str, Any]:
        """cpu and memory in percent, memory in bytes, and each GPU where there are some."""
        with self._lock:
            if time.monotonic() - self._looked > FRESH_SECONDS:
                self._looked = time.monotonic()
                self._ask_gpus()
                memory = psutil.virtual_memory()
                self._found = {
                    "cpu": self._processor(),
                    "memory": {"used": memory.total - memory.available, "total": memory.total},
                }
            return {**self._found, "gpus": self._gpus}

    def _processor(self) -> float:
        """Percent since the last look. psutil's own figure is one for each thread that asks, and 0 at its first."""
        idle, everything = _processor_seconds()
        if everything > self._all:
            self._busy = 100 * (1 - (idle - self._idle) / (everything - self._all))
        self._idle, self._all = idle, everything
        return min(max(self._busy, 0.0), 100.0)

    def _ask_gpus(self) -> None:
        if self._program is None or (self._asking is not None and self._asking.is_alive()):
            return
        self._asking = threading.Thread(target=self._hear_gpus, name="nvidia-smi", daemon=True)
        self._asking.start()

    def _hear_gpus(self) -> None:
        try:
            said = subprocess.run(  # noqa: S603
                [str(self._program), *NVIDIA], capture_output=True, text=True, timeout=10, check=True
            ).stdout
        except (OSError, subprocess.SubprocessError):
            self._program = None  # there is a program but no GPU that answers
            return
        self._gpus = list(gpus(said))


def _processor_seconds() -> tuple[float, float]:
    """Without work, and in all. What guests take is counted as the host's own too."""
    times = psutil.cpu_times()
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return times.idle + getattr(times, "iowait", 0.0), sum(times) - guests


def gpus(said: str) -> Iterator[dict[str, Any]]:
    """The lines of nvidia-smi; what a GPU does not tell is None."""
    for line in said.splitlines():
        name, *figures = (part.strip() for part in line.split(","))
        if len(figures) != 4:
            continue
        load, used, total, degrees = (float(figure) if _is_number(figure) else None for figure in figures)
        memory = None if used is None or total is None else {"used": used * MEGABYTE, "total": total * MEGABYTE}
        yield {"name": name, "load": load, "memory": memory, "degrees": degrees}


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
