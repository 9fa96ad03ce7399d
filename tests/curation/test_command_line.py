"""Captions can be edited from the command line too."""

from __future__ import annotations

import pytest
from PIL import Image

from sd_scripts.curation.__main__ import main


@pytest.fixture
def folder(tmp_path):
    for stem, text in {"a": "red cat", "b": "blue cat, red"}.items():
        Image.new("RGB", (8, 8)).save(tmp_path / f"{stem}.png")
        (tmp_path / f"{stem}.txt").write_text(text, encoding="utf-8")
    return tmp_path


def texts(folder):
    return [(folder / f"{stem}.txt").read_text(encoding="utf-8") for stem in "ab"]


def test_an_edit_is_shown_made_undone_and_made_again(folder, capsys):
    edit = [str(folder), "replace", "--find", "red", "--by", "green"]
    assert main([*edit, "--only_show"]) == 0
    assert capsys.readouterr().out.endswith(
        "a.png\n  - red cat\n  + green cat\nb.png\n  - blue cat, red\n  + blue cat, green\n"
        "2 captions of 2 images would change.\n"
    )
    assert texts(folder) == ["red cat", "blue cat, red"]
    assert main([*edit, "--words", "blue"]) == 0
    assert texts(folder) == ["red cat", "blue cat, green"]
    assert main([str(folder), "undo"]) == 0
    assert texts(folder) == ["red cat", "blue cat, red"]
    assert "Undone: Replace 'red' by 'green' (1 captions)." in capsys.readouterr().out
    assert main([str(folder), "redo"]) == 0
    assert texts(folder) == ["red cat", "blue cat, green"]


@pytest.mark.parametrize("words, after", [
    (["sort_tags"], "blue cat, red"), (["add_tags", "--text", "x", "--in_front"], "x, blue cat, red"),
    (["remove_tags", "--text", "red"], "blue cat"), (["suffix", "--text", "!"], "blue cat, red!"),
    (["sort_tags", "--keep", "1"], "blue cat, red"), (["dedupe_tags"], "blue cat, red"),
])  # fmt: skip
def test_every_edit_has_its_flags(folder, words, after):
    assert main([str(folder), *words]) == 0
    assert texts(folder)[1] == after


def test_tags_are_counted(folder, capsys):
    assert main([str(folder), "tags"]) == 0
    assert [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()] == [
        ["1", "blue cat"], ["1", "red"], ["1", "red cat"],
    ]  # fmt: skip


def test_what_can_t_be_done_is_said(folder, capsys):
    assert main([str(folder), "undo"]) == 2
    assert capsys.readouterr().err == "Error: There is nothing to undo in this folder.\n"
