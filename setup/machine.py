"""What this machine has that decides which build of PyTorch fits."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

TORCH_WHEELS = "https://download.pytorch.org/whl/"
DEFAULT_CUDA = (13, 0)  # what the build on the default index is made for


@dataclass(frozen=True)
class Machine:
    """The facts that matter. `cuda` is the newest CUDA version that the NVIDIA driver can serve, (0, 0) if unknown."""

    system: str
    processor: str
    gpus: tuple[str, ...] = ()
    kind: str = "cpu"  # "cuda", "rocm", "mps" or "cpu"
    cuda: tuple[int, int] = (0, 0)
    driver: str = ""


def output_of(*command: str) -> str:
    """What `command` prints, or an empty string if it is not there, fails, or does not answer within ten seconds."""
    path = shutil.which(command[0])
    if path is None:
        return ""
    try:
        done = subprocess.run(
            [path, *command[1:]], capture_output=True, text=True, errors="replace", timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def look() -> Machine:
    """Looks at this machine."""
    system, processor = platform.system(), platform.machine()
    if system == "Darwin":
        chip = output_of("sysctl", "-n", "machdep.cpu.brand_string")
        return Machine(system, processor, (chip,) if chip else (), "mps" if processor == "arm64" else "cpu")
    return _nvidia(system, processor) or _amd(system, processor) or Machine(system, processor)


def _nvidia(system: str, processor: str) -> Machine | None:
    listing = output_of("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    rows = [[cell.strip() for cell in line.split(",")] for line in listing.splitlines() if line.count(",") >= 2]
    if not rows:
        return None
    found = re.search(r"CUDA Version:\s*(\d+)\.(\d+)", output_of("nvidia-smi"))
    cuda = (int(found[1]), int(found[2])) if found else (0, 0)
    return Machine(system, processor, tuple(f"{row[0]}, {row[1]}" for row in rows), "cuda", cuda, rows[0][2])


def _amd(system: str, processor: str) -> Machine | None:
    if system != "Linux" or not os.path.exists("/dev/kfd"):
        return None
    names = re.findall(r"Card [Ss]eries:\s*(.+)", output_of("rocm-smi", "--showproductname"))
    if not names and not Path("/opt/rocm").exists():
        return None
    return Machine(system, processor, tuple(name.strip() for name in names) or ("AMD GPU",), "rocm")


def torch_choices(machine: Machine) -> tuple[str, ...]:
    """Where to look for the PyTorch build that fits, best first. "default" is the index that pip is set to.

    The default index holds the right build for Macs, for NVIDIA cards under Linux with a recent driver, and for
    machines without a GPU (if a large one). The other cases have theirs on PyTorch's own indexes only; where
    those do not answer, the default build still runs, on the CPU.
    """
    if machine.kind == "rocm":
        return ("rocm7.2", "rocm7.1", "default")
    if machine.kind == "cuda":
        if machine.cuda >= DEFAULT_CUDA or machine.cuda == (0, 0):
            return ("cu130", "default") if machine.system == "Windows" else ("default",)
        return ("cu128", "cu126", "default") if machine.cuda >= (12, 8) else ("cu126", "default")
    return ("default",)


def index_address(choice: str) -> str:
    """The address of the index that `choice` names; an empty string for the default one."""
    if choice == "default":
        return ""
    return choice if "://" in choice else TORCH_WHEELS + choice


def needed_gigabytes(machine: Machine, choice: str) -> float:
    """The disk space that a complete install takes at its worst moment, in GB."""
    if choice == "cpu" or machine.system == "Darwin":
        return 3.0
    return 10.0 if machine.kind in ("cuda", "rocm") else 3.0


def describe(choice: str) -> str:
    """`choice` in words."""
    return "from the default index" if choice == "default" else f"from {index_address(choice)}"
