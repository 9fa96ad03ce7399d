"""Adapter files: written whole or not at all, and read without running anything."""

from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import UserError
from ..whole import whole_file

DTYPES = {"float": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def save(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], dtype: torch.dtype | None = None
) -> None:
    """Writes `path` (.safetensors, else pickled, which holds no metadata) beside itself, flushes it and renames it.

    Raises UserError where the disk is full or the place can't be written; an older file of that name then stays.
    """
    plain = {key: value.detach().to("cpu", dtype or value.dtype).contiguous() for key, value in tensors.items()}
    if path.suffix == ".safetensors":
        with saved(path) as new:
            save_file(plain, new, metadata=dict(metadata))
    else:
        with saved(path) as new:
            torch.save(plain, new)


@contextmanager
def saved(path: Path, key: str = "output_dir") -> Iterator[Path]:
    """The file to write, which takes the place of `path` when it is whole. Folders above it are made.

    Raises UserError, which names the setting `key`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as new:
            yield new
            new.chmod(0o666 & ~_umask())  # safetensors keeps its files from everyone else
    except (OSError, RuntimeError, SafetensorError) as error:
        raise UserError(_why(path, error, key)) from error


def _umask() -> int:
    os.umask(mask := os.umask(0o077))
    return mask


def _why(path: Path, error: Exception, key: str) -> str:
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
    if full:
        return f"{path} could not be saved because the disk is full; free some space. An older file of it is unharmed."
    return f"{path} could not be saved ({' '.join(str(error).split())[:200]}); check that {key} can be written."


def load(path: Path, key: str = "network_weights") -> tuple[dict[str, Tensor], dict[str, str]]:
    """A file's tensors and metadata. Raises UserError, naming the setting `key`, where it is missing or no network."""
    if not path.is_file():
        raise UserError(f"{key}: There is no file {path}; check its spelling.")
    tensors, metadata = _load_safetensors(path, key) if path.suffix == ".safetensors" else (_load_pickle(path, key), {})
    if not any(name.startswith(("lora_", "oft_")) and "." in name for name in tensors):
        raise UserError(
            f"{key}: {path} is not a network file with sd-scripts' names; choose a LoRA saved in that layout."
        )
    return tensors, metadata


def _load_safetensors(path: Path, key: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError):
        raise UserError(f"{key}: {path} is damaged or no safetensors file; get it again.") from None


def _load_pickle(path: Path, key: str) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, OSError, EOFError, RuntimeError, ValueError, IndexError, KeyError):
        raise UserError(f"{key}: {path} is damaged, or holds more than weights; get it as .safetensors.") from None
    tensors = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    return {name: value for name, value in tensors.items() if isinstance(value, Tensor)}
