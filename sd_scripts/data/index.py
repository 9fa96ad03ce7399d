"""What is remembered about the files of a folder, so that a huge one is planned in seconds the next time.

Each entry holds for a file of one length and time of change; another length or time makes it forgotten. The index
lies in the user's cache folder, and training goes on without it where it can't be written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..whole import write_whole

VERSION = 2
Stamp = tuple[int, int]  # bytes, time of change in nanoseconds
Fact = Any
"""A size, a caption's lines, a hash; lists of JSON stand for tuples. Or the UserError of a file that can't be read."""
Rows = dict[str, tuple[int, int, Fact]]
"""File's name -> its stamp and the fact."""


def cache_folder() -> Path:
    """Where this user's programs keep what they can make again."""
    if os.environ.get("XDG_CACHE_HOME"):
        base = Path(os.environ["XDG_CACHE_HOME"])
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path.home() / ".cache"
    return base / "sd_scripts" / "images"


def stamp_of(stat: os.stat_result) -> Stamp:
    return stat.st_size, stat.st_mtime_ns


class Index:
    """Facts about the files of one folder.

    For each kind of fact there are four columns: names, bytes, times, facts. Where nothing in the folder has changed
    they are compared and taken as wholes, because there can be hundreds of thousands of rows.
    """

    def __init__(self, folder: Path) -> None:
        name = hashlib.blake2b(str(folder.absolute()).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
        self.file = cache_folder() / f"{name}.json"
        self._columns = self._read()
        self._rows: dict[str, Rows] = {}
        self._changed = False

    def get(self, kind: str, name: str, stamp: Stamp) -> Any | None:
        row = self._rows_of(kind).get(name)
        return row[2] if row is not None and row[:2] == stamp else None

    def put(self, kind: str, name: str, stamp: Stamp, fact: Any) -> None:
        self._rows_of(kind)[name] = (*stamp, fact)
        self._changed = True

    def facts(self, kind: str, entries: Sequence[os.DirEntry[str]], look: Callable[[str], Any]) -> Sequence[Fact]:
        """The fact of each file: the one remembered, or what `look` finds out, or the UserError that it raises.

        Facts of this kind about other files are forgotten. Raises OSError where a file is gone by now.
        """
        names, stats = [entry.name for entry in entries], [entry.stat() for entry in entries]
        lengths, times = [stat.st_size for stat in stats], [stat.st_mtime_ns for stat in stats]
        if kind in self._columns and self._columns[kind][:3] == [names, lengths, times]:
            return self._columns[kind][3]
        known, rows, found = self._rows_of(kind), {}, []
        for entry, length, time in zip(entries, lengths, times, strict=True):
            row = known.get(entry.name)
            fact = row[2] if row is not None and row[:2] == (length, time) else _looked_up(look, entry.path)
            found.append(fact)
            if not isinstance(fact, UserError):
                rows[entry.name] = (length, time, fact)
        self._rows[kind], self._changed = rows, True
        return found

    def save(self) -> None:
        """Written whole or not at all; a folder that can't be written only costs time."""
        if not self._changed:
            return
        columns = self._columns | {kind: _columns(rows) for kind, rows in self._rows.items()}
        with contextlib.suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.file, json.dumps({"version": VERSION, **columns}), lasting=False)
            self._changed = False

    def _rows_of(self, kind: str) -> Rows:
        if kind not in self._rows:
            names, *rest = self._columns.get(kind, [[], [], [], []])
            self._rows[kind] = dict(zip(names, zip(*rest, strict=True), strict=True))
        return self._rows[kind]

    def _read(self) -> dict[str, list[list[Any]]]:
        try:
            known = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(known, dict) or known.pop("version", None) != VERSION:
            return {}
        known.pop("sizes", None)  # in their place are now headers, which only whole files have
        return known


def _looked_up(look: Callable[[str], Any], path: str) -> Fact:
    try:
        return look(path)
    except UserError as error:
        return error


def _columns(rows: Rows) -> list[list[Any]]:
    return [list(rows), *([row[place] for row in rows.values()] for place in range(3))]
