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
        return tomlkit.parse(file.read_text(encoding="utf-8-sig")).unwrap()
    except FileNotFoundError as error:
        raise BadToml(f"The file {file} does not exist; check its name.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadToml(f"The file {file} can't be read as UTF-8 text: {error}.") from error
    except TOMLKitError as error:
        raise BadToml(f"The file {file} is not valid TOML: {error}.") from error


def read_flat(file: Path) -> dict[str, Any]:
    """key -> value over all sections. Raises BadToml where two sections give one key different values."""
    flat: dict[str, Any] = {}
    for name, value in read(file).items():
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
