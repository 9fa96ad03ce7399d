"""How a layer's width is written as a product."""

from __future__ import annotations


def split(width: int, factor: int = -1) -> tuple[int, int]:
    """(a, b) with a b = width and a <= b: `factor` and its cofactor where it divides, else the most even pair with a
    <= factor.

    -1 means no limit: the pair nearest to the square root.
    """
    if factor > 0 and width % factor == 0:
        return min(factor, width // factor), max(factor, width // factor)
    limit = width if factor < 0 else factor
    smaller = max(a for a in range(1, int(width**0.5) + 1) if width % a == 0 and a <= max(limit, 1))
    return smaller, width // smaller


def butterfly(width: int, limit: int) -> tuple[int, int] | None:
    """(b, n) with b n = width, b even and at most `limit`, n a power of two and as small as that allows; None where
    there is none."""
    for size in range(limit - limit % 2, 0, -2):
        count, rest = divmod(width, size)
        if rest == 0 and count & (count - 1) == 0:
            return size, count
    return None
