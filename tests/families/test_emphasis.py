from __future__ import annotations

import pytest

from sd_scripts.families.emphasis import read_emphasis


@pytest.mark.parametrize(
    ("caption", "pieces"),
    [
        ("a red hat", [("a red hat", 1)]),
        ("a (red) hat", [("a ", 1), ("red", 1.1), (" hat", 1)]),
        ("a ((red)) hat", [("a ", 1), ("red", 1.21), (" hat", 1)]),
        ("a [red] hat", [("a ", 1), ("red", 1 / 1.1), (" hat", 1)]),
        ("a (red:1.5) hat", [("a ", 1), ("red", 1.5), (" hat", 1)]),
        ("a (red: 0.5 ) hat", [("a ", 1), ("red", 0.5), (" hat", 1)]),
        ("(a (red:1.5) hat)", [("a ", 1.1), ("red", 1.65), (" hat", 1.1)]),
        (r"a \(red\) hat", [("a (red) hat", 1)]),
        ("a (red", [("a ", 1), ("red", 1.1)]),
        ("a [red", [("a ", 1), ("red", 1 / 1.1)]),
        ("a red) hat", [("a red) hat", 1)]),
        ("time: 12:30", [("time: 12:30", 1)]),
        ("(time 12:30)", [("time 12", 30)]),
        ("[red:blue:0.5]", [("red:blue:0.5", 1 / 1.1)]),
        ("", [("", 1)]),
    ],
)
def test_emphasis(caption: str, pieces: list) -> None:
    found = read_emphasis(caption)
    assert [text for text, _ in found] == [text for text, _ in pieces]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in pieces])
