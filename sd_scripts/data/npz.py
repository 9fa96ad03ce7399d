"""Files of arrays, which caches are made of."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..whole import whole_file

TORN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
"""What reading raises where a file is missing, torn, or lacks a field."""


def write(file: Path, fields: Mapping[str, Any]) -> None:
    """Written whole or not at all. Raises OSError."""
    with whole_file(file, lasting=False) as new, new.open("wb") as opened:
        np.savez(opened, **fields)
