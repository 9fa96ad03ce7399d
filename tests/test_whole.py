"""Files and folders are written whole or not at all."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sd_scripts.whole import whole_file, whole_folder, write_whole


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_text_that_has_no_room_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = tmp_path / "command.txt"
    write_whole(file, "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(file, "new")
    assert file.read_text() == "old" and names(tmp_path) == ["command.txt"]


def test_what_was_interrupted_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "a") as new:
        new.write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


@pytest.mark.parametrize("lasting", [True, False])
def test_only_what_is_to_last_is_flushed_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lasting: bool
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    write_whole(tmp_path / "a", "text", lasting=lasting)
    assert len(flushed) == lasting


def test_a_name_can_be_as_long_as_names_can_be(tmp_path: Path) -> None:
    file = tmp_path / ("x" * 251 + ".txt")
    write_whole(file, "text", lasting=False)
    assert names(tmp_path) == [file.name]


def test_many_may_write_the_same_file_at_once(tmp_path: Path) -> None:
    texts = [str(number) * 1000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda text: write_whole(tmp_path / "a", text, lasting=False), texts):
            pass
    assert (tmp_path / "a").read_text() in texts and names(tmp_path) == ["a"]


def test_a_folder_appears_under_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    """What a killed save leaves behind is not taken for a state, and the next one takes it away."""
    folder = tmp_path / "x-state"
    folder.mkdir()
    (folder / "old").write_text("old")
    (tmp_path / ".x-state.1.new").mkdir()
    with pytest.raises(OSError, match="disk"), whole_folder(folder) as new:
        (new / "model.safetensors").write_text("half")
        raise OSError("disk")
    assert names(tmp_path) == ["x-state"] and names(folder) == ["old"]
    with whole_folder(folder) as new:
        (new / "new").write_text("new")
    assert names(tmp_path) == ["x-state"] and names(folder) == ["new"]
