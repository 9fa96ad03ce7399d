"""Emphasis in captions, as in prompts: (word) x1.1, [word] /1.1, (word:1.3) x1.3, nested, with \\( for a plain bracket.

Source: the grammar of the AUTOMATIC1111 web UI.
"""

from __future__ import annotations

import re

ROUND, SQUARE = 1.1, 1 / 1.1
TOKEN = re.compile(r"\\[()\[\]\\]|[(\[]|:\s*([+-]?[.\d]+)\s*\)|[)\]]|[^\\()\[\]:]+|\\|:")

Piece = tuple[str, float]


def read_emphasis(caption: str) -> list[Piece]:
    """The caption in pieces of one weight each: `a (red:1.5) hat` -> [("a ", 1), ("red", 1.5), (" hat", 1)]."""
    pieces: list[list] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}
    for match in TOKEN.finditer(caption):
        word = match.group(0)
        if word in opened:
            opened[word].append(len(pieces))
        elif match.group(1) is not None and opened["("]:
            _scale(pieces, opened["("].pop(), float(match.group(1)))
        elif word == ")" and opened["("]:
            _scale(pieces, opened["("].pop(), ROUND)
        elif word == "]" and opened["["]:
            _scale(pieces, opened["["].pop(), SQUARE)
        else:
            pieces.append([word[1:] if len(word) == 2 and word[0] == "\\" else word, 1.0])
    for starts, factor in ((opened["("], ROUND), (opened["["], SQUARE)):
        for start in starts:
            _scale(pieces, start, factor)
    return _joined(pieces) or [("", 1.0)]


def _scale(pieces: list[list], start: int, factor: float) -> None:
    for piece in pieces[start:]:
        piece[1] *= factor


def _joined(pieces: list[list]) -> list[Piece]:
    """Neighbours of equal weight are one piece, so that words at their border stay whole tokens."""
    joined: list[Piece] = []
    for text, weight in pieces:
        if joined and joined[-1][1] == weight:
            joined[-1] = (joined[-1][0] + text, weight)
        else:
            joined.append((text, weight))
    return joined
