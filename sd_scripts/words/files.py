"""Files of new words, as sd-scripts writes them and as diffusers and the web UIs do.

    emb_params       (V, D)  one text encoder; diffusers writes the same under the word itself
    clip_l, clip_g   (V, D)  the two of Stable Diffusion XL
    IN01 .. OUT11    (V, D)  one for each attention network of the U-Net (XTI)
    string_to_param  {"*": (V, D)}  the AUTOMATIC1111 web UI's .pt and .bin

Source: formats.md of the reference, "TI".
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import UserError

ONE = "emb_params"
PARTS = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}
LAYER = re.compile(r"IN\d\d|MID|OUT\d\d")

Rows = dict[str, Tensor]
"""Part, such as "text_encoder", -> (L, V, D)."""


def to_file(rows: Mapping[str, Tensor], layers: Iterable[str]) -> dict[str, Tensor]:
    """One word's vectors under their names in a file. layers: the names of the L layers, none where L is 1."""
    if len(rows) > 1:
        return {PARTS[part]: rows_LVD[0] for part, rows_LVD in rows.items()}
    (rows_LVD,) = rows.values()
    names = list(layers)
    return dict(zip(names, rows_LVD, strict=True)) if names else {ONE: rows_LVD[0]}


def read(path: Path, parts: Iterable[str], layers: Iterable[str], key: str = "weights") -> Rows:
    """A file's vectors for the text encoders `parts`. Those of one layer are taken for each layer.

    Raises UserError, naming the setting `key`, where it is missing, no file of a new word, or one for other encoders.
    """
    if not path.is_file():
        raise UserError(f"{key}: There is no file {path}; check its spelling.")
    found = _tables(_content(path, key))
    if not found:
        raise UserError(f"{key}: {path} holds no new word; choose a file that textual inversion has written.")
    parts, names = list(parts), list(layers)
    wanted = _wanted(found, parts, names)
    if set(found) != wanted:
        raise UserError(f"{key}: {path} is for {_kind(found)}; choose one for {_kind(wanted)}.")
    if len(parts) > 1:
        return {part: found[PARTS[part]][None] for part in parts}
    many = [found[name] for name in names] if wanted == set(names) else [found[ONE]] * max(1, len(names))
    return {parts[0]: torch.stack(many)}


def _wanted(found: Iterable[str], parts: Sequence[str], layers: Sequence[str]) -> set[str]:
    """The names in a file for these text encoders; of layers either all are there or one table for all."""
    if len(parts) > 1:
        return {PARTS[part] for part in parts}
    return set(layers) if set(found) & set(layers) else {ONE}


def _kind(names: Iterable[str]) -> str:
    names = set(names)
    if names & set(PARTS.values()):
        return "Stable Diffusion XL"
    return "single layers (XTI)" if names != {ONE} else "Stable Diffusion 1.x or 2.x without layers"


def _content(path: Path, key: str) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(str(path))
        with torch.serialization.safe_globals([nn.ParameterDict]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, OSError, EOFError, RuntimeError, ValueError, IndexError, KeyError):
        raise UserError(f"{key}: {path} is damaged, or holds more than weights; get it as .safetensors.") from None


def _tables(content: Any) -> dict[str, Tensor]:
    """Name -> (V, D), under sd-scripts' names whoever wrote it; empty where it is something else."""
    if isinstance(content, Mapping) and "string_to_param" in content:
        tables = content["string_to_param"]
        content = dict(tables.items()) if isinstance(tables, Mapping | nn.ParameterDict) else {}
    if isinstance(content, Tensor):
        content = {ONE: content}
    if not isinstance(content, Mapping):
        return {}
    found = {str(name): value.detach().float() for name, value in content.items() if isinstance(value, Tensor)}
    found = {name: value[None] if value.ndim == 1 else value for name, value in found.items()}
    if any(value.ndim != 2 for value in found.values()):
        return {}
    if set(found) == set(PARTS.values()) or (found and all(LAYER.fullmatch(name) for name in found)):
        return found
    return {ONE: next(iter(found.values()))} if len(found) == 1 else {}


def parts(count: int) -> list[str]:
    """What the text encoders of a model with so many are called."""
    return list(PARTS)[:count]
