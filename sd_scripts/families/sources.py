"""Where a model's parts come from: a folder, a file or the hub, and what can be wrong with each, in words."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import UserError
from .detect import find, read_header

WAIT_SECONDS = 8
PARTS = ("unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")


def locate(name: str, key: str, parts: tuple[str, ...] = PARTS) -> Path:
    """The file or folder that a setting names, fetched from the hub where it is a hub ID. Raises UserError."""
    return find(name, key) or fetch(name, key, parts)


def fetch(repository: str, key: str, parts: tuple[str, ...]) -> Path:
    """A repository's diffusers folder, from the hub or fetched before. Raises UserError within seconds."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        info = HfApi().repo_info(repository, timeout=WAIT_SECONDS)
        files = [sibling.rfilename for sibling in info.siblings or []]
        wanted = wanted_files(files, parts)
        if not wanted:
            raise UserError(
                f"{key}: The hub's {repository} is not in the diffusers layout; download its model file and name that."
            )
        return Path(snapshot_download(repository, allow_patterns=wanted, etag_timeout=WAIT_SECONDS))
    except UserError:
        raise
    except GatedRepoError:
        raise UserError(
            f"{key}: The hub gives {repository} only to those who accepted its terms; accept them there and "
            "log in on this machine (hf auth login)."
        ) from None
    except RepositoryNotFoundError:
        raise UserError(
            f"{key}: There is no {repository} on the Hugging Face hub, nor a file or folder of that name; "
            "check its spelling."
        ) from None
    except Exception:  # what a broken connection raises differs between versions of the hub's library
        try:
            return Path(snapshot_download(repository, local_files_only=True))
        except (LocalEntryNotFoundError, ValueError, OSError):
            raise UserError(
                f"{key}: The Hugging Face hub can't be reached to fetch {repository}; "
                "name a file or folder on this machine."
            ) from None


def wanted_files(files: list[str], parts: tuple[str, ...]) -> list[str]:
    """A repository's files that belong to `parts`: of weights, the full-precision safetensors where there are any."""
    inside = [name for name in files if name.split("/")[0] in parts or name in ("model_index.json", "config.json")]
    if not parts:
        inside = [name for name in files if "/" not in name]
    weights = [name for name in inside if name.endswith((".safetensors", ".bin"))]
    plain = [name for name in weights if name.count(".") == 1] or weights
    chosen = [
        name
        for name in plain
        if name.endswith(".safetensors") or name.removesuffix(".bin") + ".safetensors" not in plain
    ]
    safe_parts = {name.split("/")[0] for name in chosen if name.endswith(".safetensors")}
    chosen = [name for name in chosen if name.endswith(".safetensors") or name.split("/")[0] not in safe_parts]
    return [name for name in inside if name.endswith((".json", ".txt"))] + chosen if chosen else []


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what libraries raise at damaged or incomplete files into a sentence."""
    try:
        yield
    except SafetensorError as error:
        raise UserError(f"{path} is damaged or cut off ({error}); get it again.") from None
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        text = " ".join(str(error).split())[:300]
        raise UserError(f"{path} can't be loaded as a model ({text}); check that it is complete.") from error


def read_tensors(path: Path, device: str = "cpu") -> tuple[dict[str, Tensor], dict[str, str]]:
    """Every tensor of a .safetensors or pickled file, read straight to a device, and its metadata.

    Pickles are read as weights only, never run.
    """
    if path.suffix == ".safetensors":
        read_header(path)
        with readable(path), safe_open(path, framework="pt", device=device) as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} holds more than weights, which could run code here, so it is not opened; get it as .safetensors."
        ) from None
    except (OSError, EOFError, RuntimeError, ValueError, IndexError, KeyError):
        raise UserError(f"{path} is damaged or not a model file; get it again.") from None
    if not isinstance(content, Mapping):
        return {}, {}
    tensors, metadata = content.get("state_dict", content), {k: v for k, v in content.items() if isinstance(v, str)}
    return {key: value for key, value in tensors.items() if isinstance(value, Tensor)}, metadata


def shapes_of(tensors: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in tensors.items()}
