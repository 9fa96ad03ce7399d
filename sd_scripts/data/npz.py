"""Files of arrays, which caches are made of."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

TORN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
"""What reading raises where a file is missing, torn, or lacks a field."""


def write(file: Path, fields: Mapping[str, Any]) -> None:
    """Written whole or not at all. Raises OSError."""
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as opened:
            np.savez(opened, **fields)
        part.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
