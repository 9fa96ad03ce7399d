"""How the blocks of a Stable Diffusion U-Net are counted, and the texts that stand for a factor on each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Blocks:
    """How many blocks lie on a U-Net's way down, in the middle and on its way up.

    before, after: blocks that have a rank but no rate of their own: what is embedded, and the last layers.
    """

    down: int = 12
    mid: int = 1
    up: int = 12
    before: int = 0
    after: int = 0

    @property
    def total(self) -> int:
        return self.before + self.down + self.mid + self.up + self.after


BLOCKS = {"sd1": Blocks(), "sd2": Blocks(), "sdxl": Blocks(9, 3, 9, before=1, after=1)}
SD = BLOCKS["sd1"]

CURVES = ("sine", "cosine", "linear", "reverse_linear", "zeros")
"""Names that stand for a list of block weights."""


def curve(text: str) -> tuple[str, float] | None:
    """`cosine+.25` -> ("cosine", 0.25), `sine` -> ("sine", 0); None where it names no curve."""
    name, plus, base = text.replace(" ", "").partition("+")
    try:
        return (name, float(base) if plus else 0.0) if name in CURVES else None
    except ValueError:
        return None


def numbers(text: str) -> tuple[float, ...]:
    """`1, 0.5` -> (1.0, 0.5). Raises ValueError where one is no number."""
    return tuple(map(float, text.replace(",", " ").split()))


def differ(*texts: str | None) -> bool:
    """Whether factors that are not 0 differ; where there is no text, they are 1. Raises ValueError as `numbers`."""
    found: set[float] = set()
    for text in texts:
        named = curve(text or "")
        if named and named[0] != "zeros":
            return True
        found |= {named[1]} if named else set(numbers(text)) if text else {1.0}
    return len(found - {0.0}) > 1
