"""`metadata_cache.json`: sizes and captions of a folder's images, kept in that folder and trusted (`cache_info`)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..whole import write_whole
from .buckets import Size
from .records import Picture

NAME = "metadata_cache.json"


class FolderInfo:
    """image's name -> {"resolution": [width, height], "caption": one or several lines}."""

    def __init__(self, file: Path, entries: dict[str, Any]) -> None:
        self.file = file
        self._entries = entries

    @classmethod
    def read(cls, folder: Path) -> FolderInfo:
        file = folder / NAME
        entries: Any = None
        with contextlib.suppress(OSError, ValueError):
            entries = json.loads(file.read_text(encoding="utf-8-sig"))
        return cls(file, entries if isinstance(entries, dict) else {})

    def get(self, name: str) -> tuple[Size, tuple[str, ...]] | None:
        """Size and captions of an image; also where the file was written with whole paths for names."""
        entry: Any = self._entries.get(name) or self._entries.get(str(self.file.parent / name))
        try:
            width, height = entry["resolution"]
            return (int(width), int(height)), tuple(str(entry["caption"]).splitlines()) or ("",)
        except (TypeError, KeyError, ValueError):
            return None

    def write(self, pictures: Iterable[Picture]) -> None:
        """A folder that can't be written to only costs time."""
        entries = {p.path.name: {"caption": "\n".join(p.captions), "resolution": list(p.size)} for p in pictures}
        if entries == self._entries:
            return
        with contextlib.suppress(OSError):
            write_whole(self.file, json.dumps(entries, ensure_ascii=False, indent=1), lasting=False)
