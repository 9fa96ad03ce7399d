"""What a person reads while the installer works, and when it fails."""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path

import pytest

from setup import installer
from setup.console import Console
from setup.installer import Runner, cause, in_words

FAILURES = [
    ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "The disk is full"),
    ("OSError: [Errno 30] Read-only file system: '/p/x'", "The folder F cannot be written"),
    ("OSError: [Errno 13] Permission denied: '/p/x'", "Files in F belong to someone else"),
    ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "its certificate is not trusted here"),
    ("WARNING: Retrying after connection broken by 'ProxyError('Cannot connect to proxy.'", "The proxy refused"),
    (
        "Retrying: NewConnectionError('Failed to establish a new connection: [Errno -2] Name or service not known')\n"
        "ERROR: No matching distribution found for torch==2.13.0",
        "No package index can be reached",
    ),
    ("/p/.venv/bin/python: No module named pip", "pip is missing in F"),
    ("ERROR: No matching distribution found for gradio==6.31.0", "has no gradio==6.31.0 for this Python"),
    ("ERROR: Failed building wheel for grpcio", "grpcio had to be compiled"),
]


@pytest.mark.parametrize(("output", "words"), FAILURES)
def test_a_failure_is_told_in_a_sentence_that_says_what_to_do(output: str, words: str) -> None:
    sentence = cause(output, Path("F"))
    assert words in sentence
    assert sentence.endswith(".")


def test_a_failure_that_nobody_foresaw_has_no_invented_cause() -> None:
    assert cause("ERROR: something quite new", Path("F")) == ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Collecting torch==2.13.0", "looking for torch==2.13.0"),
        ("  Downloading torch-2.13.0-cp311-cp311-linux.whl (820.3 MB)", "downloading torch 2.13.0 (820.3 MB)"),
        ("Progress 410000000 of 820000000", "downloading torch 2.13.0, 410 of 820 MB"),
        ("Progress 100 of 2000", ""),
        ("Installing collected packages: a, b, c", "unpacking 3 packages"),
        ("  Building wheel for dadaptation (setup.py): started", "building dadaptation"),
        ("WARNING: Retrying (Retry(total=4))", "the package index does not answer, trying again"),
        ("Requirement already satisfied: numpy", ""),
    ],
)
def test_the_installers_lines_become_short_words(line: str, words: str) -> None:
    assert in_words(line, "torch 2.13.0") == words


def test_the_output_is_kept_in_the_log_and_its_end_in_the_outcome(tmp_path: Path) -> None:
    runner = Runner(Console(io.StringIO()), tmp_path / "log.txt")
    outcome = runner.run([sys.executable, "-c", "print('first'); print('Grün'); raise SystemExit(3)"])
    assert outcome.code == 3
    assert outcome.lines == ("first", "Grün")
    assert (tmp_path / "log.txt").read_text(encoding="utf-8") == "first\nGrün\n"


@pytest.mark.parametrize(
    ("settings", "chosen"), [([], "uv"), (["find-links"], "pip")], ids=["pip has no settings", "pip has settings"]
)
def test_uv_is_used_only_where_pip_has_no_settings_of_its_own(
    settings: list[str], chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\n")
    uv.chmod(uv.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(installer, "pip_settings", lambda pip: settings)
    out = io.StringIO()
    command = installer.install_command(Path(sys.executable), Console(out))
    assert (command[0] == str(uv)) == (chosen == "uv")
    assert ("uv does not read this machine's pip settings (find-links)" in out.getvalue()) == (chosen == "pip")


def test_settings_that_would_send_packages_elsewhere_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels")
    environment = installer.pip_environment()
    assert "PIP_TARGET" not in environment and "PYTHONPATH" not in environment
    assert environment["PIP_FIND_LINKS"] == "/wheels" and environment["PIP_USER"] == "0"
