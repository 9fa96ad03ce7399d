"""The end of a console log as a terminal would show it."""

from __future__ import annotations

import re
from pathlib import Path

TAIL_BYTES = 48 * 1024
TAIL_LINES = 300
COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def shown(text: str) -> list[str]:
    """Lines without colours; of a line rewritten by carriage returns only what stands there last."""
    lines = []
    for line in COLOURS.sub("", text).replace("\r\n", "\n").split("\n"):
        versions = [version for version in line.split("\r") if version.strip()]
        lines.append(versions[-1].rstrip() if versions else "")
    while lines and not lines[-1]:
        lines.pop()
    return lines


def tail(file: Path, lines: int = TAIL_LINES) -> tuple[str, int]:
    """The last lines of the file and its size in bytes; nothing and 0 where there is none."""
    try:
        with file.open("rb") as log:
            size = log.seek(0, 2)
            log.seek(max(0, size - TAIL_BYTES))
            data = log.read()
    except OSError:
        return "", 0
    found = shown(data.decode("utf-8", errors="replace"))
    if size > TAIL_BYTES:
        found = found[1:]
    return "\n".join(found[-lines:]), size
