"""Presets: files of settings that fill the form as a whole. Ours are JSON; kohya_ss's JSON, TOML and what trained files
say of their training are read too."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sd_scripts.config import legacy, load, toml
from sd_scripts.config.methods import METHODS
from sd_scripts.config.schema import Notice, Problem
from sd_scripts.errors import UserError
from sd_scripts.tools import settings_from_file
from sd_scripts.whole import write_whole

from . import layout
from .values import typed

USER_FOLDER = "user"
NAME = re.compile(r"[^/\\:*?\"<>|\x00-\x1f]{1,80}")
LARGEST_BYTES = 1 << 20


class BadPreset(UserError):
    """A preset that can't be read or written."""


@dataclass(frozen=True)
class Preset:
    """Settings that were read, and what is to be said about what could not be carried over."""

    name: str
    description: str
    settings: dict[str, object]
    notices: list[Problem] = field(default_factory=list)


def available(root: Path, method: str) -> dict[str, Path]:
    """Name -> file, of presets for the method: those that come with the program, then the user's own."""
    folder = root / METHODS[method].name
    found = {_title(file): file for file in sorted(folder.glob("*.json"))}
    return {**found, **{f"{_title(file)} (mine)": file for file in sorted((folder / USER_FOLDER).glob("*.json"))}}


def _title(file: Path) -> str:
    return file.stem.replace("_", " ")


def read(file: Path) -> Preset:
    """Raises BadPreset, BadToml."""
    try:
        if file.stat().st_size > LARGEST_BYTES:
            raise BadPreset(f"{file.name} is larger than a preset can be; choose a JSON or TOML file of settings.")
        return from_text(file.name, file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadPreset(f"{file.name} can't be read ({error}); choose another file.") from error


def from_text(name: str, text: str) -> Preset:
    """What a file of that name holds. Raises BadPreset, BadToml."""
    stem, _, ending = name.rpartition(".")
    if ending.lower() == "toml":
        return _from_toml(stem, toml.flat_of(toml.parse(text, name), name))
    return _from_json(stem, _parse(name, text))


def from_trained_file(name: str, metadata: Mapping[str, str]) -> Preset:
    """The settings that a trained file says it was trained with. Raises BadPreset where it says nothing of them."""
    if not any(key.startswith("ss_") for key in metadata):
        raise BadPreset(f"{name} does not say how it was trained; only files with ss_ metadata do.")
    settings, notices = settings_from_file.from_metadata(metadata)
    preset = checked(name, "", settings)
    return Preset(name, "", preset.settings, [*notices, *preset.notices])


def _parse(name: str, text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise BadPreset(f"{name} is not valid JSON ({error}); repair it or choose another file.") from error
    if not isinstance(content, dict):
        raise BadPreset(f"{name} holds no settings; a preset is a JSON object of keys and values.")
    return content


def _from_json(name: str, content: dict[str, Any]) -> Preset:
    if isinstance(content.get("settings"), dict):
        return checked(name, str(content.get("description") or ""), content["settings"])
    settings, notices = legacy.translate(content)
    preset = checked(name, "", {**_method_of(content), **settings})
    return Preset(name, "", preset.settings, [*notices, *preset.notices])


def _from_toml(name: str, flat: Mapping[str, object]) -> Preset:
    return checked(name, "", {**_method_of(flat), **flat})


TELLTALES = {
    "lora": ("LoRA_type", "network_module", "network_dim"),
    "textual_inversion": ("token_string",),
    "finetune": ("train_dir", "image_folder", "full_path"),
    "dreambooth": ("stop_text_encoder_training", "stop_text_encoder_training_pct", "no_token_padding"),
}
"""Method -> keys that only its page of kohya_ss writes. The first that fits counts."""


def _method_of(content: Mapping[str, object]) -> dict[str, object]:
    """Files of kohya_ss and sd-scripts do not say which method they are for, but their keys do."""
    found = (method for method, keys in TELLTALES.items() if any(content.get(key) not in (None, "") for key in keys))
    method = next(found, None)
    return {layout.METHOD: method} if method else {}


def checked(name: str, description: str, settings: Mapping[str, object]) -> Preset:
    """Only what the form can hold: today's names, values of the right type. About the rest there are notices."""
    accepted: dict[str, object] = {}
    notices: list[Problem] = []
    aliases = {alias: key for key, parameter in load.parameters().items() for alias in parameter.aliases}
    for given, value in settings.items():
        key = aliases.get(given, given)
        problem = _wrong(key, value)
        if problem:
            notices.append(problem)
        else:
            accepted[key] = load.plain(typed(load.parameters()[key], value))
    return Preset(name, description, accepted, notices)


def _wrong(key: str, value: object) -> Problem | None:
    """Why the preset's value can't be shown, where it can't."""
    parameter = load.parameters().get(key)
    if parameter is None:
        return next(iter(load.from_flat({key: value}, strict=False).problems))
    if parameter.kind == "secret":
        return Notice(key, "The preset holds a secret, which is not taken from files; type it in.") if value else None
    checked = typed(parameter, value)
    return Notice(key, f"{checked.message} The preset's value was left out.") if isinstance(checked, Problem) else None


def write(
    root: Path, method: str, name: str, description: str, settings: Mapping[str, object], *, replace: bool = False
) -> Path:
    """Saves one of the user's own presets; `settings` must hold no secrets. Raises BadPreset."""
    name = name.strip().removesuffix(".json").strip()
    if not NAME.fullmatch(name) or name.startswith("."):
        raise BadPreset(
            f"{name!r} can't be the name of a file; use letters, digits, blanks, - and _."
            if name
            else "Give the preset a name."
        )
    file = root / METHODS[method].name / USER_FOLDER / f"{name}.json"
    if file.exists() and not replace:
        raise BadPreset(f"There is a preset {name!r} already; choose another name, or tick the box to replace it.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, as_json(description, settings))
    except OSError as error:
        raise BadPreset(
            f"The preset can't be written to {file.parent} ({error.strerror}); check the folder's rights."
        ) from error
    return file


def as_json(description: str, settings: Mapping[str, object]) -> str:
    content = {"description": description.strip(), "settings": settings}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
