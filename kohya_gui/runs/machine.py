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
        psutil.cpu_percent(None)  # counts from here on

    def load(self) -> dict[str, Any]:
        """cpu and memory in percent, memory in bytes, and each GPU where there are some."""
        with self._lock:
            if time.monotonic() - self._looked > FRESH_SECONDS:
                self._looked = time.monotonic()
                self._ask_gpus()
                memory = psutil.virtual_memory()
                self._found = {
                    "cpu": psutil.cpu_percent(None),
                    "memory": {"used": memory.total - memory.available, "total": memory.total},
                }
            return {**self._found, "gpus": self._gpus}

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
