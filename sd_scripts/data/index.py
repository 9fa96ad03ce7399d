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
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError

VERSION = 1
Stamp = tuple[int, int]  # bytes, time of change in nanoseconds
Fact = Any
"""A size, a caption's lines, a hash; lists of JSON stand for tuples. Or the UserError of a file that can't be read."""


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
    """Facts about the files of one folder: kind of fact -> file's name -> fact."""

    def __init__(self, folder: Path) -> None:
        name = hashlib.blake2b(str(folder.absolute()).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
        self.file = cache_folder() / f"{name}.json"
        self._known = self._read()
        self._changed = False

    def get(self, kind: str, name: str, stamp: Stamp) -> Any | None:
        facts = self._known.get(kind)
        entry = facts.get(name) if facts else None
        return entry[2] if entry is not None and (entry[0], entry[1]) == stamp else None

    def facts(self, kind: str, entries: Sequence[os.DirEntry[str]], look: Callable[[str], Any]) -> list[Fact]:
        """The fact of each file: the one remembered, or what `look` finds out, or the UserError that it raises."""
        known = self._known.setdefault(kind, {})
        found = []
        for entry in entries:  # written out, because there can be hundreds of thousands
            stat, name = entry.stat(), entry.name
            old = known.get(name)
            if old is not None and old[1] == stat.st_mtime_ns and old[0] == stat.st_size:
                found.append(old[2])
                continue
            try:
                fact = look(entry.path)
                self.put(kind, name, stamp_of(stat), fact)
            except UserError as error:
                fact = error
            found.append(fact)
        return found

    def put(self, kind: str, name: str, stamp: Stamp, fact: Any) -> None:
        self._known.setdefault(kind, {})[name] = (*stamp, fact)
        self._changed = True

    def keep_only(self, kind: str, names: Iterable[str]) -> None:
        """Forget files that are gone."""
        gone = self._known.get(kind, {}).keys() - set(names)
        for name in gone:
            del self._known[kind][name]
        self._changed = self._changed or bool(gone)

    def save(self) -> None:
        """Written whole or not at all; a folder that can't be written only costs time."""
        if not self._changed:
            return
        part = self.file.with_suffix(f".{os.getpid()}.part")
        with contextlib.suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps({"version": VERSION, **self._known}), encoding="utf-8")
            part.replace(self.file)
            self._changed = False

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            known = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(known, dict) or known.pop("version", None) != VERSION:
            return {}
        return known
