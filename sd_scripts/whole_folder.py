"""Folders that are written whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new folder beside the target, flushed to disk and put in its place when the block has ended well."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for torn in folder.parent.glob(f".{escape(folder.name)}.*.new"):  # by a process that was killed
        shutil.rmtree(torn, ignore_errors=True)
    new = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    new.mkdir()
    try:
        yield new
        for file in new.rglob("*"):
            if file.is_file():
                _flush(file)
        _put_in_place(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _flush(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def _put_in_place(new: Path, folder: Path) -> None:
    """A folder can't be renamed over a full one, so the old one steps aside until the new one stands."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
