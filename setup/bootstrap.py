"""Makes `.venv` and keeps it in step with requirements.txt.

The stamp file is written last. Where it is missing or names other requirements, the next start goes on from whatever
is there: it repairs what was cut off, installs what is missing, and remakes the folder only if it can't be used.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from setup import lock, machine, repair
from setup.console import Console, SetupProblem
from setup.installer import Outcome, Runner, cause, install_command, pip_environment

ROOT = Path(__file__).resolve().parent.parent
LOCK_NAME = "setup.lock"
STAMP_NAME = "installed.json"
LOG_NAME = "setup.log"
TORCH_PROBE = """
import json, torch
device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
print(json.dumps([torch.__version__, device, torch.cuda.get_device_name(0) if device == "cuda" else ""]))
"""


@dataclass(frozen=True)
class Wanted:
    """What the environment is to hold. `torch` is where PyTorch comes from: "auto" keeps what was chosen before."""

    torch: str = "auto"
    dev: bool = False
    reinstall: bool = False


@dataclass(frozen=True)
class Environment:
    """The virtual environment of the project in `root`, finished or not."""

    root: Path = ROOT
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", self.root / ".venv")

    @property
    def python(self) -> Path:
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def is_active(self) -> bool:
        """Whether this very program runs in it."""
        return Path(sys.prefix).resolve() == self.folder.resolve()

    def stamp(self) -> dict[str, str]:
        """What the finished install wrote down; empty if it did not finish or is of another Python."""
        try:
            stamp = json.loads((self.folder / STAMP_NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        usable = isinstance(stamp, dict) and self.python.exists() and stamp.get("python") == self.python_version()
        return stamp if usable else {}

    def python_version(self) -> str:
        """The environment's own Python, "3.11"; read from its settings file, because starting it takes longer."""
        try:
            text = (self.folder / "pyvenv.cfg").read_text(encoding="utf-8")
        except OSError:
            return ""
        found = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+)", text, re.MULTILINE)
        return found[1] if found else ""

    def holds(self, wanted: Wanted) -> bool:
        """Whether nothing has to be done."""
        stamp = self.stamp()
        if wanted.reinstall or stamp.get("requirements") != digest(requirements(self.root)):
            return False
        if wanted.torch not in ("auto", stamp.get("torch")):
            return False
        return not wanted.dev or stamp.get("dev") == digest(dev_requirements(self.root))


def requirements(root: Path) -> list[str]:
    """The lines of requirements.txt that name packages."""
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def dev_requirements(root: Path) -> list[str]:
    """The dev extra of pyproject.toml. Python 3.10 has no TOML reader, so this one reads just that list."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^dev = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    return re.findall(r"^\s*['\"](.+?)['\"],?\s*$", block[1], re.MULTILINE) if block else []


def digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def torch_pin(root: Path) -> str:
    return next(line for line in requirements(root) if line.startswith("torch=="))


def ensure(wanted: Wanted, environment: Environment | None = None, console: Console | None = None) -> Path:
    """Brings the environment into the wanted state and gives its Python.

    Raises: SetupProblem with a sentence when it can't be done.
    """
    environment, console = environment or Environment(), console or Console()
    if environment.holds(wanted):
        return environment.python
    here = machine.look()
    _check_machine(here, environment, wanted)
    _writable_folder(environment.folder)
    with lock.held(environment.folder / LOCK_NAME, console) as held:
        if not environment.holds(wanted):
            _Setup(environment, wanted, here, Runner(console, environment.folder / LOG_NAME, held)).run()
    return environment.python


def _check_machine(here: machine.Machine, environment: Environment, wanted: Wanted) -> None:
    if here.system == "Darwin" and here.processor == "x86_64":
        raise SetupProblem(
            "PyTorch is no longer made for Macs with an Intel processor (or this Python is an Intel one: "
            "on an Apple chip, install Python from python.org and start again)."
        )
    free = shutil.disk_usage(environment.root).free / 1e9
    choice = machine.torch_choices(here)[0] if wanted.torch == "auto" else wanted.torch
    needed = machine.needed_gigabytes(here, choice)
    if free < needed and not environment.python.exists():
        raise SetupProblem(
            f"The disk that holds {environment.root} has {free:.1f} GB free, and the set-up needs {needed:.0f} GB: "
            "free some space or move the project, and start again."
        )


def _writable_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
        (folder / LOG_NAME).open("a").close()
    except OSError as error:
        raise SetupProblem(
            f"The folder {folder} cannot be written ({error.strerror}): move the project to a folder that you own, "
            "and start again."
        ) from None


class _Setup:
    """One run of the set-up, with the lock held."""

    def __init__(self, environment: Environment, wanted: Wanted, here: machine.Machine, runner: Runner) -> None:
        self.environment, self.wanted, self.machine = environment, wanted, here
        self.runner, self.console = runner, runner.console
        self.before = environment.stamp()
        self.only_dev = wanted.dev and environment.holds(replace(wanted, dev=False))
        self.stages, self.stage = 3 if self.only_dev else 5 if wanted.dev else 4, 0

    def run(self) -> None:
        (self.environment.folder / STAMP_NAME).unlink(missing_ok=True)
        gpus = ", ".join(self.machine.gpus) or "no GPU found, so training will run on the processor"
        self.console.say(f"Setting up in {self.environment.folder} ({gpus}).")
        self._make_folder()
        command = install_command(self.environment.python, self.console)
        choice = self.before["torch"] if self.only_dev else self._install_base(command)
        if self.wanted.dev:
            self._begin("Packages for the tests")
            self._install([*command, *dev_requirements(self.environment.root)])
        self._check_torch()
        self._write_stamp(choice)

    def _install_base(self, command: list[str]) -> str:
        """Installs what runs the app, and gives the place that PyTorch came from."""
        choice = self._install_torch(command)
        self._begin("Packages of requirements.txt")
        self._install([*command, "-r", str(self.environment.root / "requirements.txt")])
        return choice

    def _begin(self, title: str) -> None:
        self.stage += 1
        self.console.begin(f"[{self.stage}/{self.stages}] {title}")

    def _make_folder(self) -> None:
        self._begin("Virtual environment")
        environment = self.environment
        if not self.wanted.reinstall and self._pip_starts():
            broken = [name for place in self._site_packages() for name in repair.forget_broken(place)]
            self.console.end(f"kept, {len(broken)} cut-off packages to mend" if broken else "kept")
            return
        _empty(environment.folder)
        outcome = self.runner.run(_venv_command(environment.folder))
        if outcome.code or not self._pip_starts():
            self._fail(outcome)
        self.console.end()

    def _pip_starts(self) -> bool:
        python = self.environment.python
        if not python.exists():
            return False
        done = subprocess.run(
            [str(python), "-m", "pip", "--version"], capture_output=True, env=pip_environment(), check=False
        )
        return done.returncode == 0

    def _site_packages(self) -> list[Path]:
        return [*self.environment.folder.glob("lib/python*/site-packages"), *self.environment.folder.glob("Lib/site-*")]

    def _install_torch(self, command: list[str]) -> str:
        """Installs PyTorch from the first place that has it, and gives that place."""
        earlier = self.before.get("torch")
        if self.wanted.torch == "auto":
            choices = (earlier,) if earlier else machine.torch_choices(self.machine)
        else:
            choices = (self.wanted.torch,)
        pin = torch_pin(self.environment.root)
        other_build = self.wanted.torch not in ("auto", earlier)
        again = ["--reinstall" if "--python" in command else "--force-reinstall"] if other_build else []
        for choice in choices:
            self._begin(f"PyTorch {pin.partition('==')[2]} {machine.describe(choice)}")
            address = machine.index_address(choice)
            index = ["--index-url", address] if address else []
            outcome = self.runner.run([*command, *again, pin, *index])
            if outcome.code == 0:
                self.console.end()
                return choice
            if choice != choices[-1]:
                self.console.end("not to be had there")
                self.stage -= 1
        self._fail(outcome)
        raise AssertionError("unreachable")

    def _install(self, command: list[str]) -> None:
        outcome = self.runner.run(command)
        if outcome.code:
            self._fail(outcome)
        self.console.end()

    def _fail(self, outcome: Outcome) -> None:
        self.console.broken_off()
        folder = self.environment.folder
        sentence = cause(outcome.text, folder)
        if not sentence:
            last = "\n".join(f"    {line}" for line in outcome.lines[-12:])
            sentence = (
                f"The installer stopped, and its last lines were:\n{last}\nThe whole output is in {folder / LOG_NAME}; "
                "start again, with --reinstall if it happens twice."
            )
        raise SetupProblem(sentence)

    def _check_torch(self) -> None:
        self._begin("Trying PyTorch out")
        outcome = self.runner.run([str(self.environment.python), "-c", TORCH_PROBE])
        if outcome.code:
            self.console.broken_off()
            reason = outcome.lines[-1] if outcome.lines else f"exit code {outcome.code}"
            hint = "; install Microsoft's Visual C++ Redistributable" if os.name == "nt" else ""
            raise SetupProblem(
                f"PyTorch was installed but does not start ({reason}){hint}: run this again with --reinstall, "
                "or choose another build with --torch-index."
            )
        version, device, name = json.loads(outcome.lines[-1])
        self.console.end(f"{version} will train on {name or device}; found out")
        if self.machine.kind in ("cuda", "rocm") and device == "cpu":
            self.console.say(
                f"It cannot use {self.machine.gpus[0]}: update the graphics driver, or choose another build with "
                "--torch-index; `python3 setup/doctor.py` tells more."
            )

    def _write_stamp(self, choice: str) -> None:
        root, folder = self.environment.root, self.environment.folder
        dev = digest(dev_requirements(root)) if self.wanted.dev else self.before.get("dev", "")
        stamp = {
            "python": self.environment.python_version(), "torch": choice, "requirements": digest(requirements(root)),
            "dev": "" if self.wanted.reinstall and not self.wanted.dev else dev,
        }  # fmt: skip
        half = folder / (STAMP_NAME + ".new")
        half.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
        half.replace(folder / STAMP_NAME)


def _empty(folder: Path) -> None:
    """Deletes everything in `folder` but the lock that is held and the log that is being written."""
    for entry in folder.iterdir():
        if entry.name in (LOCK_NAME, LOG_NAME):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _venv_command(folder: Path) -> list[str]:
    """The command that makes the environment, with whatever of venv, ensurepip and uv this Python has."""
    from importlib.util import find_spec

    base_python = getattr(sys, "_base_executable", None) or sys.executable  # ours may lie in the folder just emptied
    if find_spec("venv") and find_spec("ensurepip"):
        return [base_python, "-m", "venv", str(folder)]
    uv = shutil.which("uv")
    if uv:
        return [uv, "venv", "--seed", "--allow-existing", "--python", base_python, str(folder)]
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    raise SetupProblem(
        f"This Python {version} cannot make virtual environments: install the missing part "
        f"(`sudo apt install python{version}-venv` on Debian and Ubuntu) and start again."
    )


def hand_over(python: Path, script: Path, arguments: Sequence[str]) -> None:
    """Goes on as `script` in the environment; does not come back."""
    command = [str(python), str(script), *arguments]
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONHOME", "__PYVENV_LAUNCHER__")}
    if os.name == "posix":
        sys.stdout.flush()
        os.execve(command[0], command, environment)
    try:  # Windows' exec gives the console back to the shell while the program still runs
        code = subprocess.call(command, env=environment)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
