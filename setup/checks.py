"""The one command that checks everything: ruff, mypy, pytest."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from setup import machine
from setup.bootstrap import ROOT, Environment, Wanted, hand_over
from setup.console import lenient_output
from setup.start import ensured

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def chromium() -> str | None:
    """The browser of this machine that the browser tests can drive."""
    return next((path for path in map(shutil.which, CHROMIUM_NAMES) if path), None)


def skipped() -> list[str]:
    """What can't be tested on this machine, and why."""
    notes = []
    if chromium() is None:
        notes.append("The browser tests are skipped: no Chromium here (`sudo apt install chromium` brings it).")
    here = machine.look()
    if here.kind == "cpu":
        notes.append("The GPU tests are skipped: no GPU that PyTorch can use was found.")
    return notes


def run(arguments: Sequence[str]) -> int:
    """Checks, and gives the exit code: 0 only when every check passed and at least one test ran."""
    lenient_output()
    environment = Environment()
    python = ensured(Wanted(dev=True), environment)
    if not environment.is_active:
        hand_over(python, ROOT / "setup" / "run_tests.py", arguments)
    for note in skipped():
        print(note, flush=True)
    failed = [name for name, command in linters(arguments) if not _passes(name, [str(python), *command])]
    code = subprocess.call([str(python), "-m", "pytest", "-ra", *(arguments or spread())], cwd=ROOT, env=one_thread())
    return code or len(failed)


def spread() -> list[str]:
    """Arguments with which all tests run on several processors; each file stays with one, so that it builds its models
    once. More than four would need more memory than machines for tests have."""
    processes = min(os.cpu_count() or 1, 4)
    return ["-n", str(processes), "--dist", "loadfile"] if processes > 1 else []


def one_thread() -> dict[str, str]:
    """Tiny tensors are quicker on one thread, and tests that run side by side don't wait for each other's."""
    return {"OMP_NUM_THREADS": "1", **os.environ}


def linters(arguments: Sequence[str]) -> list[tuple[str, list[str]]]:
    """ruff always; mypy only with the whole test run, because it is the slower one."""
    ruff = ("ruff", ["-m", "ruff", "check", "."])
    mypy = ("mypy", ["-m", "mypy"])
    return [ruff] if arguments else [ruff, mypy]


def _passes(name: str, command: Sequence[str]) -> bool:
    passed = subprocess.call(command, cwd=ROOT) == 0
    print(f"{name}: {'passed' if passed else 'FAILED, so the whole run fails'}", flush=True)
    return passed
