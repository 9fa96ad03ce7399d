"""Finds packages whose installation was cut off.

pip takes a package for installed as soon as its dist-info folder is there, even if the power went while the files
were being written. What is listed but missing, or shorter than listed, is therefore looked for here.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path


def forget_broken(site_packages: Path) -> list[str]:
    """Removes what makes pip believe in half-installed packages and returns their names.

    The files of such packages stay where they are; the next install writes over them.
    """
    forgotten = []
    for folder in sorted(site_packages.glob("*.dist-info")):
        if not _is_whole(folder, site_packages):
            shutil.rmtree(folder)
            forgotten.append(folder.name.removesuffix(".dist-info"))
    for leftover in site_packages.glob("~*"):  # pip renames what it is about to delete to such names
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
    return forgotten


def _is_whole(folder: Path, site_packages: Path) -> bool:
    record = folder / "RECORD"
    if not record.is_file():
        return False
    try:
        rows = list(csv.reader(record.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return bool(rows) and all(_is_there(site_packages, row) for row in rows if row)


def _is_there(site_packages: Path, row: list[str]) -> bool:
    """Whether the file of one RECORD row (path, hash, size in bytes) is there in its full size."""
    if row[0].endswith(".pyc"):
        return True  # remade by Python when missing
    try:
        size = (site_packages / row[0]).stat().st_size
    except OSError:
        return False
    listed = row[2] if len(row) > 2 else ""
    return not listed.isdigit() or size == int(listed)
