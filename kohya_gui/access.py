"""Which folders the app may look into and write to, whoever asks: links are followed before it is decided."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sd_scripts.config import toml
from sd_scripts.config.schema import Parameter, Problem
from sd_scripts.errors import UserError

from .runs.supervisor import ROOT

OUTPUTS = ("outputs", "logs")
OURS_TO_READ = (*OUTPUTS, "presets", "config_files", "sd_scripts/starter")
WRITTEN = ("output_dir", "logging_dir", "console_log_file", "run_dir", "save_to")
"""Keys of places that are written to; all others are only read."""

PLACES = ("image_dir", "conditioning_data_dir", "metadata_file", "train_data_dir", "reg_data_dir")
"""Keys of folders and files in the TOML file of a dataset."""


class NotAllowed(UserError):
    """A place outside the folders that the app may use. opens: the folder to allow, where that is done on the page."""

    def __init__(self, sentence: str, opens: str = "") -> None:
        super().__init__(sentence)
        self.opens = opens


@dataclass(frozen=True)
class Outside(Problem):
    """A field that names such a place."""

    opens: str = ""


@dataclass(frozen=True)
class Rules:
    """readable and writable: folders, with all that lies in them. closed: folders within these that stay shut.
    can_grow: whoever uses the page may allow more of them."""

    readable: tuple[Path, ...]
    writable: tuple[Path, ...]
    closed: tuple[Path, ...] = ()
    can_grow: bool = False

    @classmethod
    def at_home(cls, more: Iterable[Path] = ()) -> Rules:
        """Only this machine can reach the app: the program, the user's own folder, and what is allowed besides."""
        folders = _real(ROOT, Path.home(), *more)
        return cls((*folders, uploads()), folders, can_grow=True)

    @classmethod
    def in_the_open(cls, more: Iterable[Path] = ()) -> Rules:
        """Others can reach the app: what it makes, what comes with it, and what is allowed by name."""
        given = _real(*more)
        users = tuple((ROOT / "presets").glob("*/user"))
        return cls(
            (*_real(*(ROOT / name for name in OURS_TO_READ)), *given, uploads()),
            (*_real(*(ROOT / name for name in OUTPUTS), *users), *given),
        )

    def without(self, *closed: Path) -> Rules:
        return replace(self, closed=(*self.closed, *_real(*closed)))

    def folders(self, *, write: bool) -> tuple[Path, ...]:
        return self.writable if write else self.readable

    def allows(self, place: Path, *, write: bool) -> bool:
        return _inside(place, self.folders(write=write)) and not _inside(place, self.closed)


def _real(*folders: Path) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(folder.resolve() for folder in folders))


def _inside(place: Path, folders: Iterable[Path]) -> bool:
    return any(place.is_relative_to(folder) for folder in folders)


def uploads() -> Path:
    """Where Gradio puts what visitors send."""
    return (Path(tempfile.gettempdir()) / "gradio").resolve()


_rules = Rules.at_home()


def rules() -> Rules:
    return _rules


def use(rules: Rules) -> None:
    """From now on these hold, for everything in this process."""
    global _rules
    _rules = rules


def allowed(path: str | Path, *, write: bool = False) -> Path:
    """The place that the path means, links followed; relative paths start at the program's folder.

    Raises NotAllowed.
    """
    try:
        place = (ROOT / path).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise NotAllowed(f"{str(path)!r} is no path; choose another file or folder.") from error
    if not _rules.allows(place, write=write):
        raise _not_allowed(path, place, write=write)
    return place


def _not_allowed(path: str | Path, place: Path, *, write: bool) -> NotAllowed:
    if _rules.can_grow and not write and not place.exists():
        return NotAllowed(f"{path} does not exist; check its name or choose another place.")
    doing = "write to" if write else "read"
    folders = [str(folder) for folder in _rules.folders(write=write) if folder != uploads()]
    opens = _to_open(place)
    ways = f"start the app with --allow {opens or 'and the folder'}"
    if opens and _rules.can_grow:
        ways = f"allow {opens} (on the Settings page, or with --allow {opens} when the app is started)"
    return NotAllowed(
        f"{path} lies outside the folders that the app may {doing} ({', '.join(folders)}); choose a place in them, "
        f"or {ways}.",
        opens if _rules.can_grow else "",
    )


def _to_open(place: Path) -> str:
    """The folder to allow for that place, or the nearest there is; "" for what stays shut, and for a whole disk."""
    while not place.is_dir() and place != place.parent:
        place = place.parent
    return "" if place == place.parent or _inside(place, _rules.closed) else str(place)


def problems(parameters: Iterable[Parameter], flat: Mapping[str, object]) -> list[Problem]:
    """One for each field that names a place where the app may not go. `flat`: settings as the form gives them."""
    found = []
    for parameter in parameters:
        if parameter.ui.kind in ("file", "folder"):
            found += list(_field_problems(parameter.key, flat.get(parameter.key)))
    return found


def _field_problems(key: str, value: object) -> Iterator[Problem]:
    for path in _paths(value):
        try:
            place = allowed(path, write=key in WRITTEN) if not _is_name(path) else None
            if place and key == "dataset_config":
                yield from _dataset_problems(place)
        except NotAllowed as error:
            yield Outside(key, str(error), error.opens)


def _paths(value: object) -> list[str]:
    if isinstance(value, str):
        return [line.strip() for line in value.splitlines() if line.strip()]
    return [str(item) for item in value] if isinstance(value, (list, tuple)) else []


def _is_name(path: str) -> bool:
    """A model's name on a hub, such as owner/name, which is no path here."""
    parts = path.split("/")
    return len(parts) == 2 and all(part.strip(".") for part in parts) and not (ROOT / path).exists()


def _dataset_problems(file: Path) -> Iterator[Problem]:
    """The places that the file of a dataset names. That it can't be read is said where it is read."""
    try:
        content = toml.read(file)
    except UserError:
        return
    for path in _places(content):
        try:
            allowed(path)
        except NotAllowed as error:
            yield Outside("dataset_config", str(error), error.opens)


def _places(content: object) -> Iterator[str]:
    if isinstance(content, list):
        for item in content:
            yield from _places(item)
    elif isinstance(content, dict):
        for key, value in content.items():
            if key in PLACES and isinstance(value, str) and value:
                yield value
            else:
                yield from _places(value)
