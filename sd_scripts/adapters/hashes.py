"""Hashes by which other programs tell files apart.

Source: formats.md of the reference, "Hashes". The short one is the AUTOMATIC1111 web UI's first kind of hash.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

SHORT_FROM, SHORT_BYTES, SHORT_DIGITS = 0x100000, 0x10000, 8
PIECE = 1 << 20


def tensor_hashes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> dict[str, str]:
    """The two hashes in an adapter file's own metadata, which depend on its tensors and ss_ metadata alone."""
    content = save(dict(tensors), {key: value for key, value in metadata.items() if key.startswith("ss_")})
    header = 8 + struct.unpack("<Q", content[:8])[0]
    return {
        "sshs_model_hash": hashlib.sha256(memoryview(content)[header:]).hexdigest(),
        "sshs_legacy_hash": hashlib.sha256(content[SHORT_FROM : SHORT_FROM + SHORT_BYTES]).hexdigest()[:SHORT_DIGITS],
    }


@cache
def file_hashes(path: Path) -> tuple[str, str]:
    """(short, whole) of a model file. Read once a run: a checkpoint has gigabytes."""
    whole = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(SHORT_FROM)
        short = hashlib.sha256(file.read(SHORT_BYTES)).hexdigest()[:SHORT_DIGITS]
        file.seek(0)
        while piece := file.read(PIECE):
            whole.update(piece)
    return short, whole.hexdigest()
