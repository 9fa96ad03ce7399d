"""How the 25 blocks of a Stable Diffusion U-Net are counted, and the texts that stand for a factor on each."""

from __future__ import annotations

DOWN, MID, UP = 12, 1, 12
"""How many blocks lie on the U-Net's way down, in the middle and on its way up."""

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
