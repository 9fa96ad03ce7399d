"""The command that trains with the form's settings, as one pastes it into a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from .runs.supervisor import ROOT, quoted


def words(flat: Mapping[str, object]) -> list[str]:
    """Flags of the engine's command line. `--key=value` also carries values that begin with a dash."""
    found = []
    for key, value in flat.items():
        if isinstance(value, list):
            found += [f"--{key}", *map(str, value)]
        elif value is True:
            found.append(f"--{key}")
        else:
            found.append(f"--{key}={_text(value)}")
    return found


def _text(value: object) -> str:
    """An empty text stands for "not set"."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def line(flat: Mapping[str, object]) -> str:
    """Runs from any folder, because it goes to the program's own first."""
    return f"cd {quoted([str(ROOT)])} && {quoted([sys.executable, '-m', 'sd_scripts.train', *words(flat)])}"
