"""Files and folders that are written whole or not at all: beside their place, and then renamed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path


@contextmanager
def whole_file(file: Path, *, lasting: bool = True) -> Iterator[Path]:
    """A new path beside the file. What was written there takes the file's place when the block has ended well.

    Others see the old content or the new one, never half of it; where it is lasting, even after a power loss, which
    takes its time. Any number of threads and processes may write the same file at once. Raises OSError.
    """
    new = file.with_name(f".{secrets.token_hex(8)}.new")  # a file's own name may be as long as names can be
    try:
        yield new
        if lasting:
            _flush(new)
        new.replace(file)
    finally:
        with suppress(OSError):
            new.unlink()


def write_whole(file: Path, text: str, *, lasting: bool = True) -> None:
    """As whole_file does. Raises OSError."""
    with whole_file(file, lasting=lasting) as new:
        new.write_text(text, encoding="utf-8")


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
