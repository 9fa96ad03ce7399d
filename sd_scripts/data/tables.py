"""Dataset files."""
from __future__ import annotations
from pathlib import Path
def read(file, config):
    raise NotImplementedError
