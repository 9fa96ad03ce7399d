"""Repeats with which folders of different size weigh the same in training."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data import headers
from ..data.layout import NAME
from ..errors import UserError
from ..whole import write_whole

MOST_REPEATS = 10_000


class CannotBalance(UserError):
    """Folders that can't be balanced, or a file that can't be written."""


@dataclass(frozen=True)
class Weighed:
    """A folder of images. repeats: those its name says, or 1. suggested: those with which it weighs what the largest
    does."""

    path: Path
    words: str
    images: int
    repeats: int
    suggested: int


def weighed(parent: Path) -> list[Weighed]:
    """The folders of images in a folder. Raises CannotBalance."""
    try:
        with os.scandir(parent) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        counts = {name: _images(parent / name) for name in names}
    except OSError as error:
        raise CannotBalance(f"The folder {parent} can't be read: {error.strerror}; check its name.") from error
    found = {name: count for name, count in counts.items() if count}
    if not found:
        raise CannotBalance(f"No folder in {parent} holds images; open the folder that your folders of images lie in.")
    split = {name: _split(name) for name in found}
    suggested = suggest(found, {name: repeats for name, (repeats, _) in split.items()})
    return [Weighed(parent / name, split[name][1], found[name], split[name][0], suggested[name]) for name in found]


def suggest(images: Mapping[str, int], repeats: Mapping[str, int]) -> dict[str, int]:
    """The folder with most images keeps its repeats; the others get those that bring them nearest to it."""
    largest = max(images, key=lambda name: images[name])
    wanted = images[largest] * max(1, repeats[largest])
    return {name: min(MOST_REPEATS, max(1, int(wanted / count + 0.5))) for name, count in images.items()}


def _images(folder: Path) -> int:
    with os.scandir(folder) as entries:
        return sum(os.path.splitext(entry.name)[1].lower() in headers.readable_endings() for entry in entries)


def _split(name: str) -> tuple[int, str]:
    match = NAME.fullmatch(name)
    return (int(match[1]) or 1, match[2].strip()) if match else (1, name)


def dataset_file(folders: Sequence[Weighed], repeats: Mapping[str, int]) -> str:
    """A dataset TOML with these repeats, by the folders' names. Images without a caption are called by the words of
    their folder's name."""
    lines = ["[[datasets]]", ""]
    for folder in folders:
        lines += [
            "  [[datasets.subsets]]",
            f"  image_dir = {json.dumps(str(folder.path), ensure_ascii=False)}",
            f"  num_repeats = {repeats.get(folder.path.name, folder.suggested)}",
            f"  class_tokens = {json.dumps(folder.words, ensure_ascii=False)}",
            "",
        ]
    return "\n".join(lines)


def write(file: Path, content: str) -> None:
    """Whole, and never over another file. Raises CannotBalance."""
    if file.exists():
        raise CannotBalance(f"There is already a file {file}; choose another name.")
    try:
        write_whole(file, content, lasting=False)
    except OSError as error:
        raise CannotBalance(f"The file {file} can't be written: {error.strerror}; check the folder.") from error
