"""The command that trains with the form's settings, as one pastes it into a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from .runs.supervisor import ROOT, quoted


def words(flat: Mapping[str, object]) -> list[str]:
    """Flags of the command lines of the engine and its tools. `--key=value` also carries values that begin with a dash,
    and a list of such values is one text, with a line for each."""
    return [word for key, value in flat.items() for word in _flag(key, value)]


def _flag(key: str, value: object) -> list[str]:
    if value is True:
        return [f"--{key}"]
    if not isinstance(value, list):
        return [f"--{key}={_text(value)}"]
    items = [str(item) for item in value]
    has_dashes = any(item.startswith("-") for item in items)
    return ["--" + key + "=" + "\n".join(items)] if has_dashes else [f"--{key}", *items]


def _text(value: object) -> str:
    """An empty text stands for "not set"."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def line(flat: Mapping[str, object]) -> str:
    """Runs from any folder, because it goes to the program's own first."""
    return f"cd {quoted([str(ROOT)])} && {quoted([sys.executable, '-m', 'sd_scripts.train', *words(flat)])}"
