"""Files of new words, as sd-scripts writes them and as diffusers and the web UIs do.

    emb_params       (V, D)  one text encoder; diffusers writes the same under the word itself
    clip_l, clip_g   (V, D)  the two of Stable Diffusion XL
    IN01 .. OUT11    (V, D)  one for each attention network of the U-Net (XTI)
    clip_l.IN04 ...  (V, D)  the same for each of the two encoders of XL; this form is ours, since others have none
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
LAYER = re.compile(r"(clip_[lg]\.)?(IN\d\d|MID|OUT\d\d)")

Rows = dict[str, Tensor]
"""Part, such as "text_encoder", -> (L, V, D)."""


def to_file(rows: Mapping[str, Tensor], layers: Iterable[str]) -> dict[str, Tensor]:
    """One word's vectors under their names in a file. layers: the names of the L layers, none where L is 1."""
    named = _names(list(rows), list(layers) or [""])
    return {name: row_VD for part in rows for name, row_VD in zip(named[part], rows[part], strict=True)}


def _names(parts: Sequence[str], layers: Iterable[str]) -> dict[str, list[str]]:
    """Part -> what its L tables are called in a file."""
    starts = {part: PARTS[part] if len(parts) > 1 else "" for part in parts}
    return {part: [".".join(filter(None, (start, layer))) or ONE for layer in layers] for part, start in starts.items()}


def read(path: Path, parts: Iterable[str], layers: Iterable[str], key: str = "weights") -> Rows:
    """A file's vectors for the text encoders `parts`. Those of one layer are taken for each layer.

    Raises UserError, naming the setting `key`, where it is missing, no file of a new word, or one for other encoders.
    """
    if not path.is_file():
        raise UserError(f"{key}: There is no file {path}; check its spelling.")
    found = _tables(_content(path, key))
    if not found:
        raise UserError(f"{key}: {path} holds no new word; choose a file that textual inversion has written.")
    parts, layers = list(parts), list(layers)
    wanted = _names(parts, layers if layers and any(map(LAYER.fullmatch, found)) else [""] * max(1, len(layers)))
    names = {name for of_part in wanted.values() for name in of_part}
    if _kind(found) != _kind(names):
        raise UserError(f"{key}: {path} is for {_kind(found)}; choose one for {_kind(names)}.")
    if set(found) != names:
        raise UserError(f"{key}: {path} was trained for another kind of model than this one; choose another.")
    return {part: torch.stack([found[name] for name in of_part]) for part, of_part in wanted.items()}


def _kind(names: Iterable[str]) -> str:
    of_two = any(name.startswith(tuple(PARTS.values())) for name in names)
    if any(map(LAYER.fullmatch, names)):
        return "single layers (XTI) of Stable Diffusion XL" if of_two else "single layers (XTI)"
    return "Stable Diffusion XL" if of_two else "Stable Diffusion 1.x or 2.x without layers"


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
