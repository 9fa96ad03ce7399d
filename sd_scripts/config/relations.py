"""What must hold between settings of different groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .schema import Problem

if TYPE_CHECKING:
    from .train_config import TrainConfig


def across(config: TrainConfig) -> Iterator[Problem]:
    """Problems and notices of settings that don't go together."""
    yield from ()
