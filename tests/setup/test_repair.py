"""Packages whose installation was cut off are found and forgotten, so that pip installs them again."""

from __future__ import annotations

from pathlib import Path

import pytest

from setup.repair import forget_broken


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "code.py").write_text("x = 1\n")
    info = tmp_path / "thing-1.0.dist-info"
    info.mkdir()
    rows = ("thing/code.py,sha256=abc,6", "thing/__pycache__/code.pyc,,", "thing-1.0.dist-info/RECORD,,")
    (info / "RECORD").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_a_whole_package_is_kept(place: Path) -> None:
    assert forget_broken(place) == []


@pytest.mark.parametrize("damage", ["no record", "empty record", "file missing", "file too short"])
def test_a_cut_off_package_is_forgotten(place: Path, damage: str) -> None:
    record = place / "thing-1.0.dist-info" / "RECORD"
    if damage == "no record":
        record.unlink()
    elif damage == "empty record":
        record.write_text("")
    elif damage == "file missing":
        (place / "thing" / "code.py").unlink()
    else:
        (place / "thing" / "code.py").write_text("x")
    assert forget_broken(place) == ["thing-1.0"]
    assert not record.parent.exists()


def test_what_pip_was_about_to_delete_is_deleted(place: Path) -> None:
    (place / "~hing").mkdir()
    forget_broken(place)
    assert not (place / "~hing").exists()
