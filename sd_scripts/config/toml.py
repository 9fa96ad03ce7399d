"""TOML files of settings: sections are only headings, so their keys join one flat dict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from ..errors import UserError
from .load import parameters, plain


class BadToml(UserError):
    """A TOML file that can't be read."""


def read(file: Path) -> dict[str, Any]:
    """The file as nested dicts. Raises BadToml with the file's name and the line that is wrong."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise BadToml(f"The file {file} does not exist; check its name.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadToml(f"The file {file} can't be read as UTF-8 text: {error}.") from error
    return parse(text, str(file))


def parse(text: str, file: str) -> dict[str, Any]:
    """The text of the file of that name. Raises BadToml."""
    try:
        return tomlkit.parse(text).unwrap()
    except TOMLKitError as error:
        raise BadToml(f"The file {file} is not valid TOML: {error}.") from error


def read_flat(file: Path) -> dict[str, Any]:
    """key -> value over all sections. Raises BadToml where two sections give one key different values."""
    return flat_of(read(file), str(file))


def flat_of(content: Mapping[str, Any], file: str) -> dict[str, Any]:
    """The same of a file that was read. Raises BadToml."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        for key, inner in (value if isinstance(value, dict) else {name: value}).items():
            if flat.get(key, inner) != inner:
                raise BadToml(f"The file {file} gives {key} twice with different values; keep one of them.")
            flat[key] = inner
    return flat


def write_flat(flat: Mapping[str, object], headings: bool = True) -> str:
    """The settings as TOML, under the titles of their groups. None, which TOML does not know, is left out."""
    document = tomlkit.document()
    for key, value in flat.items():
        if value is None:
            continue
        title = parameters()[key].group.title.lower().replace(" ", "_")
        table = document.setdefault(title, tomlkit.table()) if headings else document
        table[key] = plain(value)
    return tomlkit.dumps(document)
