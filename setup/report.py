"""The doctor's report: what is there, what is missing, and what to do about it."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec

from setup import machine
from setup.bootstrap import TORCH_PROBE, Environment, digest, requirements
from setup.checks import chromium
from setup.console import lenient_output

VERSIONS_PROBE = """
import json, sys
from importlib.metadata import distributions
print(json.dumps({d.metadata["Name"].lower().replace("_", "-"): d.version for d in distributions()}))
"""


@dataclass
class Report:
    """Lines to print, and the problems among them."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def fact(self, name: str, value: str) -> None:
        self.lines.append(f"{name:<16}{value}")

    def title(self, text: str) -> None:
        self.lines += ["", text]


def pinned(lines: Iterable[str], version: str) -> dict[str, str]:
    """The versions that requirements.txt asks for on a Python of `version` ("3.11")."""
    minor = int(version.partition(".")[2])
    wanted = {}
    for line in lines:
        requirement, _, marker = line.partition(";")
        bound = re.search(r"python_version (>=|<) \"3\.(\d+)\"", marker)
        if bound and (minor >= int(bound[2])) != (bound[1] == ">="):
            continue
        if "platform_machine" in marker and platform.system() == "Darwin" and platform.machine() != "arm64":
            continue
        name, _, number = requirement.strip().partition("==")
        wanted[name.lower().replace("_", "-")] = number
    return wanted


def run(environment: Environment | None = None) -> int:
    """Prints the report; the exit code is 1 if there is a problem."""
    lenient_output()
    report, environment = Report(), environment or Environment()
    here = machine.look()
    _machine(report, here, environment)
    _python(report)
    _graphics(report, here)
    _environment(report, here, environment)
    _extras(report)
    print("\n".join(report.lines))
    print("\nNo problems found." if not report.problems else "\nProblems")
    for problem in report.problems:
        print(f"- {problem}")
    return 1 if report.problems else 0


def _machine(report: Report, here: machine.Machine, environment: Environment) -> None:
    report.lines.append("Machine")
    report.fact("system", platform.platform())
    report.fact("processor", f"{here.processor}, {os.cpu_count()} cores")
    report.fact("memory", _memory())
    free = shutil.disk_usage(environment.root).free / 1e9
    report.fact("disk", f"{free:.1f} GB free where the project lies ({environment.root})")
    if free < 2:
        report.problems.append(f"Only {free:.1f} GB of disk are free: models and checkpoints need room, so free some.")
    if not os.access(environment.root, os.W_OK):
        report.problems.append(f"{environment.root} cannot be written: move the project to a folder that you own.")


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB"
    except (AttributeError, ValueError, OSError):
        return "unknown"


def _python(report: Report) -> None:
    report.title("Python")
    report.fact("version", f"{platform.python_version()} ({sys.executable})")
    has = [name for name in ("venv", "ensurepip", "pip") if find_spec(name)]
    report.fact("parts", ", ".join(has) or "none of venv, ensurepip, pip")
    report.fact("uv", shutil.which("uv") or "not on the PATH (pip is used)")
    if not {"venv", "ensurepip"} <= set(has) and not shutil.which("uv"):
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        report.problems.append(
            f"This Python cannot make virtual environments: install {package} (Debian, Ubuntu), or another Python."
        )


def _graphics(report: Report, here: machine.Machine) -> None:
    report.title("Graphics")
    report.fact("GPU", "; ".join(here.gpus) or "none found, so training runs on the processor (slow for real models)")
    if here.kind == "cuda":
        served = ".".join(map(str, here.cuda)) if here.cuda != (0, 0) else "unknown"
        report.fact("driver", f"{here.driver}, serves CUDA up to {served}")
    report.fact("PyTorch build", ", else ".join(map(machine.describe, machine.torch_choices(here))))


def _environment(report: Report, here: machine.Machine, environment: Environment) -> None:
    report.title("Environment")
    report.fact("folder", str(environment.folder))
    if not environment.python.exists():
        report.fact("state", "not made yet; `python3 gui.py` makes it")
        return
    stamp = environment.stamp()
    if not stamp:
        report.problems.append("The environment is unfinished: run `python3 gui.py` to finish it.")
    elif stamp.get("requirements") != digest(requirements(environment.root)):
        report.problems.append("The environment is older than requirements.txt: run `python3 gui.py` to bring it up.")
    version = environment.python_version()
    report.fact("Python", version or "unknown")
    if version:
        _packages(report, environment, pinned(requirements(environment.root), version))
    _torch(report, here, environment)


def _ask(environment: Environment, program: str) -> tuple[object, str]:
    """What `program` prints as JSON in the environment, and the last line of its error output."""
    done = subprocess.run(
        [str(environment.python), "-c", program], capture_output=True, text=True, errors="replace", check=False
    )
    try:
        return json.loads(done.stdout.splitlines()[-1]), ""
    except (IndexError, ValueError):
        return None, (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]


def _packages(report: Report, environment: Environment, wanted: dict[str, str]) -> None:
    found, error = _ask(environment, VERSIONS_PROBE)
    if not isinstance(found, dict):
        report.problems.append(f"The environment's Python does not start ({error}): `python3 gui.py --reinstall`.")
        return
    for name, number in wanted.items():
        version = found.get(name)
        report.fact(name, version or "missing")
        if version is None:
            report.problems.append(f"{name} {number} is missing: run `python3 gui.py --reinstall`.")
        elif version.partition("+")[0] != number:
            report.problems.append(f"{name} is {version}, but {number} is wanted: run `python3 gui.py --reinstall`.")


def _torch(report: Report, here: machine.Machine, environment: Environment) -> None:
    found, error = _ask(environment, TORCH_PROBE)
    if not isinstance(found, list):
        report.problems.append(f"PyTorch does not start ({error}): run `python3 gui.py --reinstall`.")
        return
    version, device, name = found
    report.fact("PyTorch", f"{version}, trains on {name or device}")
    if here.kind in ("cuda", "rocm") and device == "cpu":
        build = next((choice for choice in machine.torch_choices(here) if choice != "default"), "cu126")
        report.problems.append(
            f"PyTorch {version} cannot use {here.gpus[0]}: update the graphics driver, or run "
            f"`python3 gui.py --torch-index {build}`."
        )


def _extras(report: Report) -> None:
    report.title("For the tests and the starter model's recipe")
    report.fact("Chromium", chromium() or "not found; the browser tests are skipped (`sudo apt install chromium`)")
    fonts = machine.output_of("fc-list")
    there = "NotoColorEmoji" in fonts
    report.fact("emoji font", "there" if there else "not found; only needed to make the starter model anew")
