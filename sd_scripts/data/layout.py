"""Folders named `<repeats>_<words>`, one for each subset."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..config.captions import CaptionConfig
from ..config.dataset import DatasetConfig
from ..config.schema import Notice, Problem
from . import headers
from .headers import few
from .records import Subset

NAME = re.compile(r"(\d+)_(.*)", re.DOTALL)
Entry = os.DirEntry[str]


def subsets_in(
    parent: Path, key: str, dataset: DatasetConfig, captions: CaptionConfig, is_reg: bool = False
) -> tuple[list[Subset], list[Problem]]:
    """One subset for each `<repeats>_<words>` folder. `key`: the setting that names `parent`."""
    try:
        with os.scandir(parent) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
        folders = [entry for entry in inside if entry.is_dir() and not entry.name.startswith(".")]
    except FileNotFoundError:
        return [], [Problem(key, f"The folder {parent} does not exist; check its name.")]
    except NotADirectoryError:
        return [], [Problem(key, f"{parent} is a file; choose the folder that holds the folders of images.")]
    except OSError as error:
        return [], [Problem(key, f"The folder {parent} can't be read: {error.strerror}; check its permissions.")]
    if not any(NAME.fullmatch(entry.name) for entry in folders):
        return [], [Problem(key, _no_layout(parent, inside, folders))]
    subsets, problems = [], [*_loose(parent, key, inside)]
    for entry in folders:
        match = NAME.fullmatch(entry.name)
        if match and int(match[1]):
            words = match[2].strip()
            subsets.append(Subset(key, dataset, captions, Path(entry.path), None, is_reg, words, int(match[1])))
            continue
        reason = "its repeats are 0" if match else f"its name doesn't start with repeats, as in 10_{entry.name}"
        problems.append(Notice(key, f"The folder {entry.name} is left out, because {reason}."))
    return subsets, problems


def _loose(parent: Path, key: str, inside: Iterable[Entry]) -> Iterator[Problem]:
    images = headers.images_among(entry.name for entry in inside)
    if images:
        message = f"{few(images)} directly in {parent} {'is' if len(images) == 1 else 'are'} left out"
        yield Notice(key, f"{message}; move what is to be trained into one of the folders in it.")


def _no_layout(parent: Path, inside: Iterable[Entry], folders: list[Entry]) -> str:
    """What was found in place of `<repeats>_<words>` folders, and how to put it right."""
    images = len(headers.images_among(entry.name for entry in inside if entry.is_file()))
    if images and NAME.fullmatch(parent.name):
        return f"{parent} is itself a folder of images; choose the folder that it lies in, {parent.parent}."
    if images:
        pictures = "1 image lies" if images == 1 else f"{images} images lie"
        return (
            f"{pictures} directly in {parent}; move them into a folder in it that is named <repeats>_<words>, "
            f"such as {parent / '10_name'}."
        )
    if folders:
        name = folders[0].name
        return (
            f"No folder in {parent} is named <repeats>_<words>, only {few([entry.name for entry in folders])}; "
            f"rename it, for example {name} to 10_{name}."
        )
    return f"{parent} is empty; put the images into a folder in it, such as {parent / '10_name'}."
