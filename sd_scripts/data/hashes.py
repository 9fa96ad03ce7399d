"""Hashes of files' contents, remembered for files that have not changed. No torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .headers import BadImage
from .index import Index, stamp_of


class Hashes:
    """trusting: take the name, length and time of a file for its content, without reading it."""

    def __init__(self, trusting: bool = False) -> None:
        self._trusting = trusting
        self._indexes: dict[Path, Index] = {}

    def of(self, file: Path | None) -> str | None:
        """Raises BadImage where the file can't be read."""
        if file is None:
            return None
        try:
            stamp = stamp_of(file.stat())
            known = self._index(file.parent).get("hashes", file.name, stamp)
            if known is None:
                known = f"{stamp}" if self._trusting else hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
                if not self._trusting:
                    self._index(file.parent).put("hashes", file.name, stamp, known)
        except OSError as error:
            raise BadImage(
                f"The image {file} can't be read: {error.strerror}; check the file and its permissions."
            ) from error
        return str(known)

    def save(self) -> None:
        for index in self._indexes.values():
            index.save()

    def _index(self, folder: Path) -> Index:
        if folder not in self._indexes:
            self._indexes[folder] = Index(folder)
        return self._indexes[folder]
