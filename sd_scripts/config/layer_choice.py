"""Files of LyCORIS that say which layers are trained, and how: TOML, with classes of modules and names. No torch."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import UserError

PRESETS = (
    "full", "full-lin", "attn-mlp", "attn-only", "unet-only", "unet-transformer-only", "unet-convblock-only", "ia3",
)  # fmt: skip
WITHOUT_CONVOLUTIONS = ("full-lin", "attn-mlp", "attn-only", "unet-transformer-only", "ia3")
"""Presets that leave 3x3 convolutions alone."""

CLASSES: Mapping[str, tuple[str, ...]] = {
    "Transformer2DModel": ("attention", "mlp", "projection"), "BasicTransformerBlock": ("attention", "mlp"),
    "Attention": ("attention",), "CrossAttention": ("attention",), "FeedForward": ("mlp",),
    "ResnetBlock2D": ("resnet",), "Downsample2D": ("downsampler",), "Upsample2D": ("upsampler",),
    "TimestepEmbedding": ("time",), "CLIPEncoderLayer": ("attention", "mlp"), "CLIPAttention": ("attention",),
    "CLIPSdpaAttention": ("attention",), "CLIPMLP": ("mlp",),
}  # fmt: skip
"""Class of a module -> the roles of the layers in it; what stands in another comes after it. Presets name classes of
other families too, which are not here."""
LISTS = (
    "unet_target_module", "unet_target_name", "text_encoder_target_module", "text_encoder_target_name", "exclude_name",
)  # fmt: skip
NAMES = ("unet_target_name", "text_encoder_target_name", "exclude_name")
SWITCHES = ("enable_conv", "use_fnmatch")
MAPS = ("module_algo_map", "name_algo_map")
Settings = Mapping[str, Any]


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
    by_class: Mapping[str, Settings] = field(default_factory=dict)
    by_name: Mapping[str, Settings] = field(default_factory=dict)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The kinds that some layers have of their own."""
        own = (*self.by_class.values(), *self.by_name.values())
        return tuple(dict.fromkeys(str(one["algo"]).lower() for one in own if "algo" in one))

    def own_settings(self, name: str, role: str, layer: str) -> Settings:
        """What the file says of this very layer: by its name, or by the innermost class that it stands in or is of.
        A class within another takes over nothing but the kind.

        name: in adapter files. layer: the class of the layer itself.
        """
        for pattern, settings in self.by_name.items():
            if self._named(_without_part(name), [pattern]):
                return settings
        in_unet = name.startswith("lora_unet_")
        found: Settings = {}
        around = [one for one, roles in CLASSES.items() if role in roles and one.startswith("CLIP") != in_unet]
        for one in (*around, layer):
            if one in self.by_class:
                kind = {"algo": found["algo"]} if "algo" in found else {}
                found = {**kind, **self.by_class[one]}
        return found

    def reaches(self, name: str, role: str, layer: str, spatial: bool) -> bool:
        """name: the layer's in adapter files, from which it is told what the layer is called in the model. layer: its
        class. spatial: it is a convolution with a kernel, which is left alone without `enable_conv`, unless it has a
        rank of its own."""
        if spatial and not self.convolutions and "dim" not in self.own_settings(name, role, layer):
            return False
        own, in_unet = _without_part(name), name.startswith("lora_unet_")
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


def _without_part(name: str) -> str:
    return re.sub(r"^lora_(unet|te\d?)_", "", name)


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
        by_class=found.get("module_algo_map", {}),
        by_name=found.get("name_algo_map", {}),
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
        if key not in (*LISTS, *SWITCHES, *MAPS, "lora_prefix"):
            raise UserError(
                f"{path} has {key}, which no LyCORIS preset knows; there is {', '.join((*SWITCHES, *LISTS, *MAPS))}."
            )
        wanted = _wanted(key, value)
        if wanted:
            raise UserError(f"{path}: {key} is {value!r}; it must be {wanted}.")
    if not found.get("use_fnmatch"):
        _check_patterns(path, found)


def _wanted(key: str, value: object) -> str | None:
    """What a key's value must be, in words, where it is not."""
    if key in SWITCHES:
        return None if isinstance(value, bool) else "true or false"
    if key in MAPS:
        is_map = isinstance(value, dict) and all(isinstance(one, dict) for one in value.values())
        return None if is_map else "tables, each with the settings of some layers"
    is_list = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return None if is_list or key not in LISTS else "a list of texts"


def _check_patterns(path: str, found: Mapping[str, Any]) -> None:
    for key in (*NAMES, "name_algo_map"):
        for pattern in found.get(key, ()):
            try:
                re.compile(pattern)
            except re.error:
                raise UserError(
                    f"{path}: {pattern!r} of {key} is no regular expression; write .* for anything, or set use_fnmatch."
                ) from None
