"""Files of LyCORIS that say which layers are trained: TOML, with classes of modules and names. No torch."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import UserError

TRANSFORMER = ("attention", "mlp", "projection")
CLASSES: Mapping[str, tuple[str, ...]] = {
    "Transformer2DModel": TRANSFORMER, "BasicTransformerBlock": ("attention", "mlp"), "Attention": ("attention",),
    "CrossAttention": ("attention",), "FeedForward": ("mlp",), "ResnetBlock2D": ("resnet",),
    "Downsample2D": ("sampler",), "Upsample2D": ("sampler",), "TimestepEmbedding": ("time",),
    "CLIPAttention": ("attention",), "CLIPSdpaAttention": ("attention",), "CLIPMLP": ("mlp",),
    "CLIPEncoderLayer": ("attention", "mlp"),
}  # fmt: skip
"""Class of a module -> the roles of the layers in it. Presets name those of other families too, which are not here."""
LISTS = (
    "unet_target_module", "unet_target_name", "text_encoder_target_module", "text_encoder_target_name", "exclude_name",
)  # fmt: skip
SWITCHES = ("enable_conv", "use_fnmatch")
MAPS = ("module_algo_map", "name_algo_map")


@dataclass(frozen=True)
class LayerChoice:
    """roles, names: of the U-Net's layers and of the text encoders'. wildcards: names are *-patterns, and not regular
    expressions."""

    unet_roles: frozenset[str]
    unet_names: tuple[str, ...]
    text_roles: frozenset[str]
    text_names: tuple[str, ...]
    excluded: tuple[str, ...]
    convolutions: bool
    wildcards: bool

    def reaches(self, name: str, role: str, in_unet: bool) -> bool:
        """name: the layer's in adapter files, from which it is told what the layer is called in the model."""
        own = re.sub(r"^lora_(unet|te\d?)_", "", name)
        if self._named(own, self.excluded):
            return False
        roles, names = (self.unet_roles, self.unet_names) if in_unet else (self.text_roles, self.text_names)
        return role in roles or self._named(own, names)

    def _named(self, name: str, patterns: Iterable[str]) -> bool:
        """Files write `_` where the model's names have dots."""
        for pattern in patterns:
            plain = pattern.replace("\\.", "_")
            if fnmatch.fnmatch(name, plain.replace(".", "_")) if self.wildcards else re.match(plain, name):
                return True
        return False


@lru_cache(maxsize=8)
def _read(path: str, changed: int) -> LayerChoice:
    from .toml import read

    found = read(Path(path))
    _check(path, found)
    lists = {key: tuple(found.get(key, ())) for key in LISTS}
    return LayerChoice(
        unet_roles=_roles(lists["unet_target_module"]),
        unet_names=lists["unet_target_name"],
        text_roles=_roles(lists["text_encoder_target_module"]),
        text_names=lists["text_encoder_target_name"],
        excluded=lists["exclude_name"],
        convolutions=found.get("enable_conv", True),
        wildcards=found.get("use_fnmatch", False),
    )


def read(path: str) -> LayerChoice:
    """Raises UserError where the file is missing, is no TOML, or asks for what can't be done."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"There is no file {path}; name a TOML file of LyCORIS, or one of its presets.")
    return _read(str(file), file.stat().st_mtime_ns)


def _roles(classes: Iterable[str]) -> frozenset[str]:
    return frozenset(role for name in classes for role in CLASSES.get(name, ()))


def _check(path: str, found: Mapping[str, Any]) -> None:
    for key, value in found.items():
        if key in MAPS and value:
            raise UserError(f"{path} gives layers kinds of their own ({key}), which can't be done here; take that out.")
        if key not in (*LISTS, *SWITCHES, *MAPS, "lora_prefix"):
            raise UserError(
                f"{path} has {key}, which no LyCORIS preset knows; there is {', '.join((*SWITCHES, *LISTS))}."
            )
        is_right = isinstance(value, bool) if key in SWITCHES else key not in LISTS or _is_list_of_texts(value)
        if not is_right:
            wanted = "true or false" if key in SWITCHES else "a list of texts"
            raise UserError(f"{path}: {key} is {value!r}; it must be {wanted}.")


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
