"""Random draws that depend on nothing but where they stand: the same (seed, stream, position) always draws the same.

Workers, caches, processes and resuming can't change a draw, because no draw leaves any state behind.
"""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def number(seed: int, stream: str, *position: int) -> int:
    """63 well-mixed bits for a place in a named stream of draws."""
    text = "/".join((str(seed), stream, *map(str, position)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def python_rng(seed: int, stream: str, *position: int) -> random.Random:
    return random.Random(number(seed, stream, *position))


def generator(seed: int, stream: str, *position: int) -> torch.Generator:
    """On the CPU, so that every device draws the same numbers."""
    import torch

    return torch.Generator("cpu").manual_seed(number(seed, stream, *position))
