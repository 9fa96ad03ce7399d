"""Metadata files: the captions and tags of many images in one .json or .jsonl file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config.schema import Notice, Problem
from ..errors import UserError
from . import headers
from .folders import MOST_NAMED, Scan
from .headers import Header
from .index import Index, stamp_of
from .records import Picture, Subset


class BadMetadata(UserError):
    """A metadata file that can't be used."""


def scan(subset: Subset) -> Scan:
    """Finds the images that the metadata file names, in the order of the file."""
    found = Scan(subset)
    assert subset.metadata_file is not None
    try:
        entries = list(entries_of(subset.metadata_file))
    except BadMetadata as error:
        found.problems.append(Problem(subset.key, str(error)))
        return found
    if not entries:
        message = f"The metadata file {subset.metadata_file} names no images; make it anew."
        found.problems.append(Problem(subset.key, message))
    if subset.image_dir is not None and not subset.image_dir.is_dir():
        message = f"The folder {subset.image_dir} does not exist; give the one that the names in the metadata start at."
        found.problems.append(Problem(subset.key, message))
        return found
    places = _Places(subset.image_dir)
    for name, entry in entries:
        _add(found, places, name, entry)
    places.save()
    _judge(found)
    return found


def entries_of(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(image's name, what is said about it). Raises BadMetadata with the file's name, and the line in a .jsonl file."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise BadMetadata(f"The metadata file {file} does not exist; check its name.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadMetadata(
            f"The metadata file {file} can't be read as UTF-8 text; check it and its permissions."
        ) from error
    if file.suffix.lower() == ".jsonl":
        yield from _lines(file, text)
        return
    parsed = _parsed(file, text, 1)
    if not isinstance(parsed, dict) or not all(isinstance(entry, dict) for entry in parsed.values()):
        raise BadMetadata(f"The metadata file {file} must hold an object with one object in it for each image.")
    yield from parsed.items()


def _lines(file: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        entry = _parsed(file, line, number)
        if not isinstance(entry, dict) or not isinstance(entry.get("image_path"), str):
            raise BadMetadata(
                f"Line {number} of {file} has no image_path; each line is an object with image_path and caption."
            )
        yield entry["image_path"], entry


def _parsed(file: Path, text: str, first_line: int) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        line = first_line + getattr(error, "lineno", 1) - 1
        raise BadMetadata(
            f"The metadata file {file} is not valid JSON at line {line}; correct it or make it anew."
        ) from error


@dataclass
class _Places:
    """Finds image files by the names that metadata gives them, and looks at them; each folder is listed once."""

    root: Path | None
    _names: dict[str, dict[str, str]] = field(default_factory=dict)
    _indexes: dict[str, Index] = field(default_factory=dict)

    def find(self, name: str) -> str | None:
        """`name` is a path, from the root where it isn't absolute, with or without its ending."""
        path = os.path.join(self.root or "", name)
        folder, last = os.path.split(path)
        known = self._listed(folder)
        real = known.get(last)
        return os.path.join(folder, real) if real else None

    def look(self, path: str) -> Header:
        folder, name = os.path.split(path)
        if folder not in self._indexes:
            self._indexes[folder] = Index(Path(folder))
        index, stamp = self._indexes[folder], stamp_of(os.stat(path))
        known = index.get("headers", name, stamp)
        if known is None:
            known = headers.look(path)
            index.put("headers", name, stamp, known)
        return Header(*known)

    def save(self) -> None:
        for index in self._indexes.values():
            index.save()

    def _listed(self, folder: str) -> dict[str, str]:
        if folder not in self._names:
            try:
                images = headers.images_among(os.listdir(folder or "."))[::-1]
            except OSError:
                images = []
            self._names[folder] = {os.path.splitext(name)[0]: name for name in images} | {name: name for name in images}
        return self._names[folder]


def _add(found: Scan, places: _Places, name: str, entry: dict[str, Any]) -> None:
    file = found.subset.metadata_file
    for key in ("caption", "tags"):
        if not isinstance(entry.get(key) or "", str):
            found.broke(f"The {key} of {name} in {file} is no text; write it as one, with commas between its parts.")
            return
    path = places.find(name)
    if path is None:
        found.broke(f"{file} names the image {name}, {_why_missing(name, places.root)}.")
        return
    try:
        head = places.look(path)
    except headers.BadImage as error:
        found.broke(str(error))
        return
    captions = captions_of(entry, found.subset.captions.caption_separator)
    found.uncaptioned += captions == ("",)
    found.pictures.append(Picture(path, (head.width, head.height), captions))
    if head.animated:
        found.animated.append(name)


def _why_missing(name: str, root: Path | None) -> str:
    if "\\" in name and os.sep == "/":
        return "which is a path of Windows; write it with / and as it is here, or make the file anew"
    where = f"isn't in {root}" if root and not os.path.isabs(name) else "does not exist"
    return f"which {where}; add it or take it out"


def captions_of(entry: dict[str, Any], separator: str) -> tuple[str, ...]:
    """Each line of the caption, followed by the tags."""
    tags = separator.join(line.strip() for line in str(entry.get("tags") or "").splitlines() if line.strip())
    lines = [line.strip() for line in str(entry.get("caption") or "").splitlines() if line.strip()]
    return tuple(separator.join(part for part in (line, tags) if part) for line in lines or [""])


def _judge(found: Scan) -> None:
    file, key = found.subset.metadata_file, found.subset.key
    if found.broken > MOST_NAMED:
        found.problems.append(
            Problem(key, f"{found.broken - MOST_NAMED} more images that {file} names are missing or broken.")
        )
    found.problems += found.about_animated()
    if found.uncaptioned:
        message = f"{found.uncaptioned} images in {file} have neither caption nor tags; they get an empty caption."
        found.problems.append(Notice(key, message))
