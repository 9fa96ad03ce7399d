"""The commands people type first."""

from __future__ import annotations

import argparse
import ast

import pytest

from setup import checks, python_version, report
from setup.bootstrap import ROOT
from setup.start import own_options, show_help, torch_index

ENTRY_POINTS = ("gui.py", "setup/run_tests.py", "setup/doctor.py", "setup/python_version.py")


@pytest.mark.parametrize("version", [(3, 10), (3, 11), (3, 12), (3, 13)])
def test_the_supported_pythons_are_let_through(version: tuple[int, int]) -> None:
    assert python_version.problem(version, "gui.py", []) == ""


@pytest.mark.parametrize("version", [(2, 7), (3, 9), (3, 14)])
def test_other_pythons_are_refused_with_what_to_do(version: tuple[int, int]) -> None:
    sentence = python_version.problem(version, "gui.py", [])
    assert sentence == (
        f"Python {version[0]}.{version[1]} runs this, but Python 3.10 to 3.13 is needed: "
        "install one of them (3.11 is a good choice) and run `python3.11 gui.py`."
    )


def test_a_fitting_python_of_the_machine_is_named() -> None:
    assert "so run `python3.12 gui.py`" in python_version.problem((3, 9), "gui.py", ["python3.12"])


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_an_old_python_can_read_the_file_as_far_as_the_sentence(name: str) -> None:
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"), feature_version=(3, 4))
    kinds = {type(node) for node in ast.walk(tree)}
    assert ast.JoinedStr not in kinds and ast.AnnAssign not in kinds
    assert not any(isinstance(node, ast.FunctionDef) and node.returns for node in ast.walk(tree))


def test_only_its_own_options_are_taken_out_and_the_rest_goes_to_the_app() -> None:
    line = ["--listen", "0.0.0.0", "--torch-index", "cu130", "--server_port", "7861", "--inbrowser"]
    own, rest = own_options().parse_known_args(line)
    assert own.torch_index == "cu130" and not own.reinstall
    assert rest == ["--listen", "0.0.0.0", "--server_port", "7861", "--inbrowser"]


def test_the_help_tells_of_the_apps_options_too(capsys: pytest.CaptureFixture[str]) -> None:
    show_help(own_options())
    words = capsys.readouterr().out
    assert "--torch-index INDEX" in words and "--listen ADDRESS" in words and "this machine only" in words


@pytest.mark.parametrize("text", ["auto", "default", "cpu", "cu128", "rocm7.2", "https://wheels.example/simple"])
def test_an_index_may_be_named(text: str) -> None:
    assert torch_index(text) == text


@pytest.mark.parametrize("text", ["cuda", "cu13", "rocm", "gpu", ""])
def test_an_index_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no PyTorch index: write auto, default, cpu"):
        torch_index(text)


def test_a_machine_without_chromium_is_told_what_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks.shutil, "which", lambda name: None)
    assert any("browser tests are skipped: no Chromium" in note for note in checks.skipped())


def test_a_type_check_comes_with_the_whole_run_only() -> None:
    assert [name for name, _ in checks.linters([])] == ["ruff", "mypy"]
    assert [name for name, _ in checks.linters(["tests/setup"])] == ["ruff"]


def test_the_doctor_expects_the_versions_of_the_python_at_hand() -> None:
    lines = ['a==2; python_version >= "3.11"', 'a==1; python_version < "3.11"', "b_c==3"]
    assert report.pinned(lines, "3.10") == {"a": "1", "b-c": "3"}
    assert report.pinned(lines, "3.13") == {"a": "2", "b-c": "3"}


def test_the_doctor_reports_without_an_environment(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    report.run(report.Environment(tmp_path))
    words = capsys.readouterr().out
    for title in ("Machine", "Python", "Graphics", "Environment", "Chromium"):
        assert title in words
    assert "not made yet; `python3 gui.py` makes it" in words
