"""Presets: files of settings that fill the form as a whole. Ours are JSON; kohya_ss's JSON and TOML are read too."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sd_scripts.config import load, toml
from sd_scripts.config.schema import Notice, Problem
from sd_scripts.errors import UserError
from sd_scripts.events import write_whole

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
    """Name -> file: those that come with the program, then the user's own."""
    folder = root / method
    found = {_title(file): file for file in sorted(folder.glob("*.json"))}
    return {**found, **{f"{_title(file)} (mine)": file for file in sorted((folder / USER_FOLDER).glob("*.json"))}}


def _title(file: Path) -> str:
    return file.stem.replace("_", " ")


def read(file: Path) -> Preset:
    """Raises BadPreset, BadToml."""
    if file.suffix.lower() == ".toml":
        return checked(file.stem, "", toml.read_flat(file))
    return _from_json(file.stem, _parse(file))


def _parse(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > LARGEST_BYTES:
            raise BadPreset(f"{file.name} is larger than a preset can be; choose a JSON or TOML file of settings.")
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadPreset(f"{file.name} can't be read ({error}); choose another file.") from error
    except ValueError as error:
        raise BadPreset(f"{file.name} is not valid JSON ({error}); repair it or choose another file.") from error
    if not isinstance(content, dict):
        raise BadPreset(f"{file.name} holds no settings; a preset is a JSON object of keys and values.")
    return content


def _from_json(name: str, content: dict[str, Any]) -> Preset:
    if isinstance(content.get("settings"), dict):
        return checked(name, str(content.get("description") or ""), content["settings"])
    settings, notices = _translated(content)
    preset = checked(name, "", settings)
    return Preset(name, "", preset.settings, [*notices, *preset.notices])


def _translated(content: dict[str, Any]) -> tuple[Mapping[str, object], Sequence[Problem]]:
    """kohya_ss's own keys and meanings -> ours."""
    if importlib.util.find_spec("sd_scripts.config.legacy") is None:
        return content, []
    settings, notices = importlib.import_module("sd_scripts.config.legacy").translate(content)
    return settings, notices


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
    file = root / method / USER_FOLDER / f"{name}.json"
    if file.exists() and not replace:
        raise BadPreset(f"There is a preset {name!r} already; choose another name, or tick the box to replace it.")
    text = json.dumps({"description": description.strip(), "settings": settings}, indent=2, ensure_ascii=False) + "\n"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, text)
    except OSError as error:
        raise BadPreset(
            f"The preset can't be written to {file.parent} ({error.strerror}); check the folder's rights."
        ) from error
    return file
