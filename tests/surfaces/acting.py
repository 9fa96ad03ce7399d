"""A row of the table of what each parameter does, and the rows of all files `rows_*.py` together."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """value: another one than the default, or than the one in `beside`; `@name` is a file of the scene.

    changes: the surfaces that look otherwise then, all of them, or "refused" where the run is; what the trained file
    tells (`metadata`) may change with any setting, and is named only where nothing else does. beside: what else must be
    set for it to act.
    """

    value: Any
    changes: str
    beside: Mapping[str, Any] = field(default_factory=dict)


def rows() -> dict[str, Row]:
    found: dict[str, Row] = {}
    for file in sorted(Path(__file__).parent.glob("rows_*.py")):
        own: dict[str, Row] = importlib.import_module(file.stem).ROWS
        twice = found.keys() & own.keys()
        assert not twice, f"{sorted(twice)} have a row in {file.name} and in another file"
        found |= own
    return found
