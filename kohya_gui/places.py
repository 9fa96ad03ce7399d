"""What is offered when a path is chosen instead of typed: the places that the app may use, and what lies in them.

The list is of the machine that the app runs on, so it serves a browser elsewhere too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends

from sd_scripts.config.schema import Parameter
from sd_scripts.data import headers
from sd_scripts.errors import UserError

from . import access, sentences
from .answers import told
from .live import Answer, meant, signed_in
from .runs.supervisor import ROOT

FOLDER, WEIGHTS = "folder", "weights"
ENDINGS = {
    WEIGHTS: (".safetensors", ".ckpt", ".pt", ".pth", ".bin"),
    "toml": (".toml",),
    "metadata": (".json", ".jsonl"),
    "log": (".log", ".txt"),
}
"""Kind of file -> how its name ends. Of pictures the library knows."""

OTHERS = {
    "dataset_config": "toml", "log_tracker_config": "toml", "in_json": "metadata", "metadata_thumbnail": "picture",
    "console_log_file": "log",
}  # fmt: skip
"""Keys of files that are no weights -> kind of file."""

OF_A_MODEL = ("model_index.json", "config.json")
"""A folder with one of these is chosen where a file of weights is."""

BEGIN = ("outputs", "datasets", "sd_scripts/starter")
MOST = 1000


class BadPlace(UserError):
    """A folder that can't be looked into."""


def wanted(parameter: Parameter) -> str | None:
    """The class by which the page's script knows that a field takes a path, and of what."""
    if parameter.ui.kind not in ("file", FOLDER):
        return None
    kind = FOLDER if parameter.ui.kind == FOLDER else OTHERS.get(parameter.key, WEIGHTS)
    write = ":write" if parameter.key in access.WRITTEN else ""
    return f"wants:{kind}{write}{':several' if parameter.kind == 'list' else ''}"


@dataclass(frozen=True)
class Wish:
    """What is looked for: a kind of file or folders, to read or to write; names with these words, or of every kind."""

    kind: str = FOLDER
    write: bool = False
    words: str = ""
    every: bool = False

    def shows(self, name: str) -> bool:
        fits = self.every or name.lower().endswith(ENDINGS.get(self.kind) or tuple(headers.readable_endings()))
        return fits and self.words.lower() in name.lower()


def beginning() -> dict[str, Any]:
    """The places to begin at."""
    rules = access.rules()
    known = [ROOT / name for name in BEGIN] + [folder for folder in rules.readable if folder != access.uploads()]
    found = [place for place in dict.fromkeys(known) if place.is_dir() and rules.allows(place, write=False)]
    return {"path": "", "parent": None, "folders": [_row(place, str(place)) for place in found], "files": []}


def listed(place: Path) -> tuple[list[str], list[str]]:
    """Names of files and of folders, hidden ones left out. Raises BadPlace."""
    try:
        with os.scandir(place) as entries:
            found = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        raise BadPlace(f"The folder {place} can't be read: {error.strerror}; check its name.") from error
    return [name for name, is_folder in found if not is_folder], [name for name, is_folder in found if is_folder]


def looked_into(path: str, wish: Wish) -> dict[str, Any]:
    """The folder, or the nearest there is to a path; without a path, the places to begin at. Raises UserError."""
    if not path.strip():
        return beginning()
    place = access.allowed(path)
    while not place.is_dir():
        place = access.allowed(place.parent)
    files, folders = listed(place)
    shown = [name for name in files if wish.kind != FOLDER and wish.shows(name)]
    inner = [name for name in folders if wish.words.lower() in name.lower()]
    return {
        "path": str(place),
        "parent": str(place.parent) if may_read(place.parent) and place.parent != place else "",
        "folders": [_row(place / name, name) for name in inner[:MOST] if may_read(place / name)],
        "files": [_row(place / name, name) for name in shown[:MOST] if may_read(place / name)],
        "more": max(0, len(inner) - MOST) + max(0, len(shown) - MOST),
        "pictures": sum(Path(name).suffix.lower() in headers.readable_endings() for name in files),
        "is_model": any(name in files for name in OF_A_MODEL),
        "may_write": access.rules().allows(place, write=True),
    }


def may_read(place: Path) -> bool:
    """Links are followed; most entries are none, which is much quicker to see."""
    try:
        return access.rules().allows(place.resolve() if place.is_symlink() else place, write=False)
    except (OSError, RuntimeError):
        return False


def _row(place: Path, name: str) -> dict[str, Any]:
    return {"path": str(place), "name": name}


def router(allow: Callable[[str], str]) -> APIRouter:
    """allow: opens the folder of a place to the app, and says which it is."""
    routes = APIRouter(prefix="/live/places", dependencies=[Depends(signed_in)], include_in_schema=False)

    @routes.get("")
    def places(path: str = "", kind: str = FOLDER, write: bool = False, words: str = "", every: bool = False) -> Answer:
        try:
            return Answer(looked_into(path, Wish(kind, write, words.strip(), every)))
        except UserError as error:
            return Answer({"error": sentences.shown(str(error)), "opens": getattr(error, "opens", "")}, 409)

    @routes.post("/allow", dependencies=[Depends(meant)])
    def open_up(path: str) -> Answer:
        return told(lambda: {"path": allow(path)})

    return routes
