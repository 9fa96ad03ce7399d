"""The environment: when it is made, kept, mended, and what is said when it can't be.

A stand-in for pip does the installing, so that these tests need neither a network nor minutes.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest

from setup import bootstrap, lock, machine
from setup.bootstrap import Environment, Wanted, ensure
from setup.console import Console, SetupProblem
from setup.installer import Outcome, Runner

PYPROJECT = '[project.optional-dependencies]\ndev = [\n    "pytest==1",\n    "ruff[a,b]==2",  \n]\n\n[x]\ny = ["z"]\n'


class FakePip:
    """Stands where commands are run: notes them, and makes folders as `venv` does."""

    def __init__(self, failing: str = "", output: str = "") -> None:
        self.commands: list[list[str]] = []
        self.failing, self.output = failing, output

    def run(self, runner: Runner, command: list[str]) -> Outcome:
        self.commands.append([str(part) for part in command])
        text = " ".join(self.commands[-1])
        if self.failing and self.failing in text:
            return Outcome(1, tuple(self.output.splitlines()))
        if "-m venv" in text:
            make_venv(Path(self.commands[-1][-1]))
        return Outcome(0, ('["2.13.0+cpu", "cpu", ""]',))

    @property
    def installs(self) -> list[list[str]]:
        return [command[1:] for command in self.commands if command[0] == "pip"]


def make_venv(folder: Path) -> None:
    python = Environment(folder.parent).python
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text("")
    (folder / "pyvenv.cfg").write_text("version = 3.11.7\n")


@pytest.fixture
def project(tmp_path: Path) -> Environment:
    root = tmp_path / "Projekt für alle"
    root.mkdir()
    (root / "requirements.txt").write_text("# why\ntorch==2.13.0\n\ngradio==6\n")
    (root / "pyproject.toml").write_text(PYPROJECT)
    return Environment(root)


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> FakePip:
    fake = FakePip()
    use(fake, monkeypatch)
    return fake


def use(fake: FakePip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runner, "run", lambda runner, command: fake.run(runner, command))
    monkeypatch.setattr(bootstrap, "install_command", lambda python, console: ["pip", "install"])
    monkeypatch.setattr(bootstrap._Setup, "_pip_starts", lambda self: self.environment.python.exists())
    monkeypatch.setattr(machine, "look", lambda: machine.Machine("Linux", "x86_64"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=100e9))


def start(project: Environment, wanted: Wanted | None = None) -> str:
    out = io.StringIO()
    ensure(wanted or Wanted(), project, Console(out))
    return out.getvalue()


def test_the_first_start_installs_pytorch_and_then_the_rest(project: Environment, pip: FakePip) -> None:
    words = start(project)
    assert pip.installs == [["install", "torch==2.13.0"], ["install", "-r", str(project.root / "requirements.txt")]]
    for stage in ("[1/4] Virtual environment", "[2/4] PyTorch 2.13.0 from the default index", "[3/4] Packages"):
        assert stage in words


def test_the_second_start_does_nothing_and_says_nothing(project: Environment, pip: FakePip) -> None:
    start(project)
    pip.commands.clear()
    assert start(project) == ""
    assert pip.commands == []


def test_the_tests_packages_are_added_to_what_is_there(project: Environment, pip: FakePip) -> None:
    start(project)
    pip.commands.clear()
    start(project, Wanted(dev=True))
    assert pip.installs == [["install", "pytest==1", "ruff[a,b]==2"]]
    assert not any("venv" in command for command in pip.commands if "-m" in command)
    assert start(project) == "" and start(project, Wanted(dev=True)) == ""


def test_changed_requirements_are_installed_at_the_next_start(project: Environment, pip: FakePip) -> None:
    start(project)
    (project.root / "requirements.txt").write_text("torch==2.13.0\ngradio==7\n")
    assert "Packages of requirements.txt" in start(project)


def test_a_comment_in_requirements_changes_nothing(project: Environment, pip: FakePip) -> None:
    start(project)
    (project.root / "requirements.txt").write_text("# another reason\ntorch==2.13.0\ngradio==6\n")
    assert start(project) == ""


def test_a_start_that_was_cut_off_is_gone_on_with(project: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    use(FakePip(" -r ", "ERROR: something quite new"), monkeypatch)
    with pytest.raises(SetupProblem, match="something quite new"):
        start(project)
    assert project.stamp() == {}
    use(FakePip(), monkeypatch)
    assert "kept" in start(project)
    assert project.holds(Wanted())


def test_a_chosen_index_is_used_kept_and_changed(project: Environment, pip: FakePip) -> None:
    start(project, Wanted("cpu"))
    assert pip.installs[0][-2:] == ["--index-url", machine.TORCH_WHEELS + "cpu"]
    assert start(project) == "", "a plain start keeps the build that was chosen"
    pip.commands.clear()
    start(project, Wanted("cu130"))
    assert "--force-reinstall" in pip.installs[0]
    assert project.stamp()["torch"] == "cu130"


def test_where_pytorchs_own_index_does_not_answer_the_default_one_is_used(
    project: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakePip("--index-url", "no route"), monkeypatch)
    monkeypatch.setattr(machine, "look", lambda: machine.Machine("Linux", "x86_64", ("Radeon",), "rocm"))
    words = start(project)
    assert project.stamp()["torch"] == "default"
    assert "not to be had there" in words and "It cannot use Radeon" in words


def test_an_index_that_was_asked_for_is_not_silently_replaced(
    project: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(FakePip("--index-url", "Connection refused"), monkeypatch)
    with pytest.raises(SetupProblem, match="No package index can be reached"):
        start(project, Wanted("cu130"))


def test_reinstall_makes_the_folder_anew(project: Environment, pip: FakePip) -> None:
    start(project)
    (project.folder / "left behind").mkdir()
    start(project, Wanted(reinstall=True))
    assert not (project.folder / "left behind").exists()


def test_an_environment_whose_python_is_gone_is_made_anew(project: Environment, pip: FakePip) -> None:
    start(project)
    project.python.unlink()
    pip.commands.clear()
    start(project)
    assert any("venv" in command for command in pip.commands)


def test_a_full_disk_is_told_before_anything_is_done(
    project: Environment, pip: FakePip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1.2e9))
    with pytest.raises(SetupProblem, match=r"has 1\.2 GB free, and the set-up needs 3 GB"):
        start(project)
    assert not project.folder.exists()


def test_a_folder_that_cannot_be_written_is_named(project: Environment, pip: FakePip) -> None:
    project.folder.write_text("a file in its place")
    with pytest.raises(SetupProblem, match=r"The folder .*\.venv cannot be written"):
        start(project)


def test_an_intel_mac_is_told_that_pytorch_is_not_made_for_it(
    project: Environment, pip: FakePip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "look", lambda: machine.Machine("Darwin", "x86_64"))
    with pytest.raises(SetupProblem, match="no longer made for Macs with an Intel processor"):
        start(project)


def test_a_python_without_venv_names_the_package_that_brings_it(
    project: Environment, pip: FakePip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SetupProblem, match=r"sudo apt install python3\.\d+-venv"):
        start(project)


def test_two_starts_at_once_install_once(project: Environment, pip: FakePip) -> None:
    project.folder.mkdir()
    said = io.StringIO()
    with lock.held(project.folder / bootstrap.LOCK_NAME, Console(io.StringIO())):
        waiting = threading.Thread(target=ensure, args=(Wanted(), project, Console(said)))
        waiting.start()
        time.sleep(0.2)
        assert pip.commands == []
        make_venv(project.folder)
        stamp = {"python": "3.11", "torch": "default", "requirements": bootstrap.digest(["torch==2.13.0", "gradio==6"])}
        (project.folder / bootstrap.STAMP_NAME).write_text(json.dumps(stamp))
    waiting.join(10)
    assert "Another start is setting up this folder" in said.getvalue()
    assert pip.commands == []


def test_an_installer_that_outlives_its_start_still_holds_the_lock(tmp_path: Path) -> None:
    if os.name != "posix":
        pytest.skip("Windows does not hand locks on to other programs.")
    path = tmp_path / "lock"
    with lock.held(path, Console(io.StringIO())) as held:
        orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"], pass_fds=(held,))
    descriptor = os.open(path, os.O_RDWR)
    assert not lock._try_lock(descriptor)
    orphan.kill()
    orphan.wait()
    assert lock._try_lock(descriptor)
    os.close(descriptor)


def test_the_dev_extra_is_read_as_a_toml_reader_reads_it() -> None:
    import tomlkit

    text = (bootstrap.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = tomlkit.parse(text).unwrap()["project"]["optional-dependencies"]["dev"]
    assert bootstrap.dev_requirements(bootstrap.ROOT) == listed


def test_every_requirement_names_one_version() -> None:
    lines = [*bootstrap.requirements(bootstrap.ROOT), *bootstrap.dev_requirements(bootstrap.ROOT)]
    assert [line for line in lines if "==" not in line.partition(";")[0]] == []
