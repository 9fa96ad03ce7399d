"""Files of tensors, read and written one tensor at a time, so that no model has to fit into memory.

The safetensors format: the header's length as 8 bytes, little-endian; the header as JSON (name -> dtype, shape, offsets
into what follows; `__metadata__`); then the tensors' bytes without gaps.
"""

from __future__ import annotations

import json
import math
import shutil
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from ..adapters.io import saved
from ..errors import UserError
from .detect import read_header
from .sources import read_tensors

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2, "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}  # fmt: skip
NAMES = {dtype: name for name, dtype in DTYPES.items()}
PRECISIONS = {"float": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
ALIGNMENT = 8


@dataclass(frozen=True)
class Entry:
    """What a file's header says about a tensor."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @classmethod
    def of(cls, tensor: Tensor) -> Entry:
        return cls(tensor.dtype, tuple(tensor.shape))

    @property
    def size(self) -> int:
        """In bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def saved_as(self, precision: str | None) -> Entry:
        """With the dtype that a setting names; numbers that are no floats keep theirs."""
        return replace(self, dtype=PRECISIONS[precision]) if precision and self.dtype.is_floating_point else self


class TensorFile:
    """entries: tensor name -> its dtype and shape, in the file's order. A pickled file is held in memory as a whole."""

    def __init__(self, path: Path) -> None:
        """Raises UserError where the file is missing, damaged or of no known kind."""
        self.path = path
        self._held: dict[str, Tensor] = {}
        self._places: dict[str, tuple[int, int]] = {}
        if path.suffix == ".safetensors":
            self.metadata = self._read_header()
        else:
            self._held, self.metadata = read_tensors(path)
            self.entries = {name: Entry.of(tensor) for name, tensor in self._held.items()}

    def _read_header(self) -> dict[str, str]:
        header = read_header(self.path)
        metadata = header.pop("__metadata__", None) or {}
        with self.path.open("rb") as file:
            start = 8 + struct.unpack("<Q", file.read(8))[0]
        for name, entry in header.items():
            if entry["dtype"] not in DTYPES:
                raise UserError(
                    f"{self.path} holds numbers of the kind {entry['dtype']}, which can't be read here; get it in "
                    "fp16 or bf16."
                )
            begin, end = entry["data_offsets"]
            self._places[name] = (start + begin, end - begin)
        ordered = sorted(self._places, key=lambda name: self._places[name])
        self.entries = {name: Entry(DTYPES[header[name]["dtype"]], tuple(header[name]["shape"])) for name in ordered}
        return dict(metadata)

    def get(self, name: str) -> Tensor:
        if name in self._held:
            return self._held[name]
        offset, size = self._places[name]
        entry = self.entries[name]
        if not size:
            return torch.empty(entry.shape, dtype=entry.dtype)
        buffer = bytearray(size)
        with self.path.open("rb") as file:
            file.seek(offset)
            file.readinto(buffer)
        return torch.frombuffer(buffer, dtype=entry.dtype).reshape(entry.shape)


def write(
    path: Path,
    entries: Mapping[str, Entry],
    get: Callable[[str], Tensor],
    metadata: Mapping[str, str],
    key: str = "save_to",
) -> None:
    """Writes a .safetensors file whole. get: called once with each name, when its turn comes.

    Raises UserError, which names the setting `key`, where the disk is too full or the place can't be written.
    """
    ordered = dict(sorted(entries.items(), key=lambda item: -item[1].dtype.itemsize))  # so that all numbers are aligned
    header = _header(ordered, metadata)
    check_room(path, len(header) + sum(entry.size for entry in ordered.values()), key)
    with saved(path, key) as new, new.open("wb") as file:
        file.write(header)
        for name, entry in ordered.items():
            _append(file, name, entry, get(name))


def _header(entries: Mapping[str, Entry], metadata: Mapping[str, str]) -> bytes:
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name, entry in entries.items():
        header[name] = {
            "dtype": NAMES[entry.dtype],
            "shape": list(entry.shape),
            "data_offsets": [offset, offset + entry.size],
        }
        offset += entry.size
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return struct.pack("<Q", len(text)) + text


def _append(file: BinaryIO, name: str, entry: Entry, tensor: Tensor) -> None:
    if tuple(tensor.shape) != entry.shape:
        raise ValueError(f"{name} has the shape {tuple(tensor.shape)} where {entry.shape} was announced")
    plain = tensor.detach().to("cpu", entry.dtype).contiguous().reshape(-1)
    if plain.numel():
        file.write(memoryview(plain.view(torch.uint8).numpy()))


def check_room(path: Path, size: int, key: str = "save_to") -> None:
    """Raises UserError, which names the setting `key`, where fewer than `size` bytes are free in the nearest folder
    above `path` that is there."""
    folder = next((parent for parent in path.absolute().parents if parent.is_dir()), None)
    free = shutil.disk_usage(folder).free if folder else size
    if free < size:
        raise UserError(
            f"{key}: {path} needs {size:,} bytes and {free:,} are free; free some space or name another disk."
        )


def sizes(entries: Iterable[Entry]) -> int:
    return sum(entry.size for entry in entries)
