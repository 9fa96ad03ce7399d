"""Folders named `<repeats>_<words>` and the images and captions in them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config.captions import CaptionConfig
from ..config.dataset import DatasetConfig
from ..config.schema import Notice, Problem
from ..errors import UserError
from . import headers, texts
from .index import Fact, Index
from .info import FolderInfo
from .records import Picture, Subset

NAME = re.compile(r"(\d+)_(.*)", re.DOTALL)
MOST_NAMED = 20  # broken files that get a sentence of their own


def subsets_in(
    parent: Path, key: str, dataset: DatasetConfig, captions: CaptionConfig, is_reg: bool = False
) -> tuple[list[Subset], list[Problem]]:
    """One subset for each `<repeats>_<words>` folder. `key`: the setting that names `parent`."""
    try:
        with os.scandir(parent) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
        folders = [entry for entry in inside if entry.is_dir()]
    except FileNotFoundError:
        return [], [Problem(key, f"The folder {parent} does not exist; check its name.")]
    except NotADirectoryError:
        return [], [Problem(key, f"{parent} is a file; choose the folder that holds the folders of images.")]
    except OSError as error:
        return [], [Problem(key, f"The folder {parent} can't be read: {error.strerror}; check its permissions.")]
    named = [(entry, match) for entry in folders if (match := NAME.fullmatch(entry.name))]
    if not named:
        return [], [Problem(key, _no_layout(parent, inside, folders))]
    problems: list[Problem] = [
        Notice(
            key,
            f"The folder {entry.name} is left out, because its name doesn't start with repeats, as in 10_{entry.name}.",
        )
        for entry in folders
        if not NAME.fullmatch(entry.name)
    ]
    subsets = []
    for entry, match in named:
        if not int(match[1]):
            problems.append(Notice(key, f"The folder {entry.name} is left out, because its repeats are 0."))
            continue
        place = Path(entry.path)
        subsets.append(Subset(key, dataset, captions, place, None, is_reg, match[2].strip(), int(match[1])))
    return subsets, problems


def _no_layout(parent: Path, inside: Iterable[os.DirEntry[str]], folders: list[os.DirEntry[str]]) -> str:
    """What was found in place of `<repeats>_<words>` folders, and how to put it right."""
    images = sum(_is_image(entry.name) for entry in inside if entry.is_file())
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
            f"No folder in {parent} is named <repeats>_<words>, only {_few([entry.name for entry in folders])}; "
            f"rename it, for example {name} to 10_{name}."
        )
    return f"{parent} is empty; put the images into a folder in it, such as {parent / '10_name'}."


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _is_image(name: str) -> bool:
    return _ending(name) in headers.readable_endings()


def _ending(name: str) -> str:
    """`.png` of `name.PNG`; quicker than pathlib's, which counts with a hundred thousand files."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


@dataclass
class Scan:
    """The images of one folder, with what is wrong with them."""

    subset: Subset
    pictures: list[Picture] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    uncaptioned: int = 0
    empty: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    broken: int = 0

    @property
    def folder(self) -> Path:
        assert self.subset.image_dir is not None
        return self.subset.image_dir

    def broke(self, sentence: str) -> None:
        """One sentence a file, but not a hundred thousand of them."""
        self.broken += 1
        if self.broken <= MOST_NAMED:
            self.problems.append(Problem(self.subset.key, sentence))


def scan(subset: Subset) -> Scan:
    """Finds the images of a folder, their sizes and captions."""
    found = Scan(subset)
    folder = found.folder
    try:
        with os.scandir(folder) as entries:
            files = {entry.name: entry for entry in entries if entry.is_file()}
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"can't be read: {error.strerror}"
        found.problems.append(Problem(subset.key, f"The folder {folder} {reason}; check its name and permissions."))
        return found
    images = _images(found, files)
    _look(found, files, images)
    _judge(found, files, images)
    return found


def _images(found: Scan, files: Iterable[str]) -> list[str]:
    """The names of images; some that the installed Pillow can't read are noted."""
    readable = tuple(headers.readable_endings())
    unknown = tuple(set(headers.NEWER).difference(readable))
    found.unreadable = sorted(name for name in files if name.lower().endswith(unknown)) if unknown else []
    return sorted(name for name in files if name.lower().endswith(readable) and _ending(name))


def _look(found: Scan, files: dict[str, os.DirEntry[str]], images: list[str]) -> None:
    """Sizes and captions: trusted ones, remembered ones, and the others looked up."""
    index = Index(found.folder)
    info = FolderInfo.read(found.folder) if found.subset.dataset.cache_info else None
    trusted = {name: known for name in images if (known := info.get(name))} if info else {}
    rest = [name for name in images if name not in trusted] if trusted else images
    sizes = index.facts("sizes", [files[name] for name in rest], headers.size_of)
    lines = _captions(found, files, rest, index)
    broken = _broken(found, sizes, lines)
    pictures = [
        Picture(files[name].path, (size[0], size[1]), own)
        for place, (name, size, own) in enumerate(zip(rest, sizes, lines, strict=True))
        if place not in broken
    ]
    pictures += [Picture(files[name].path, *known) for name, known in trusted.items()]
    found.pictures = sorted(pictures, key=lambda picture: picture.file) if trusted else pictures
    index.keep_only("sizes", images)
    index.save()
    if info is not None and not found.problems:
        info.write(found.pictures)


def _broken(found: Scan, *facts: list[Fact]) -> set[int]:
    """The places of images that a fact could not be found out of, after saying why."""
    wrong = {place: fact for of in facts for place, fact in enumerate(of) if isinstance(fact, UserError)}
    for place in sorted(wrong):
        found.broke(str(wrong[place]))
    return set(wrong)


def _captions(found: Scan, files: dict[str, os.DirEntry[str]], images: list[str], index: Index) -> list[Any]:
    """The lines of each image's caption file, or why it can't be read; without a file the words of the folder."""
    ending = found.subset.captions.caption_extension
    stems = [name[: name.rfind(".")] for name in images]
    names = [stem + ending if stem + ending in files else texts.file_for(stem, ending, files) for stem in stems]
    there = [name for name in names if name is not None]
    lines = dict(zip(there, index.facts("captions", [files[name] for name in there], texts.read_lines), strict=True))
    index.keep_only("captions", there)
    found.uncaptioned = len(names) - len(there)
    found.empty = [name for name in there if lines[name] in ((), [])]
    otherwise = (found.subset.class_tokens or "",)
    read = [otherwise if name is None else lines[name] for name in names]
    return [one if isinstance(one, UserError) else tuple(one) or ("",) for one in read]


def _judge(found: Scan, files: dict[str, os.DirEntry[str]], images: list[str]) -> None:
    """Sentences about the folder as a whole."""
    subset, folder = found.subset, found.folder
    if found.broken > MOST_NAMED:
        message = f"{found.broken - MOST_NAMED} more files in {folder} are broken."
        found.problems.append(Problem(subset.key, message))
    if not images:
        found.problems.append(Problem(subset.key, _no_images(folder)))
    if found.unreadable:
        message = (
            f"{_few(found.unreadable)} in {folder} can't be read by the installed Pillow; save them as .png or .webp."
        )
        found.problems.append(Problem(subset.key, message))
    if found.empty:
        message = (
            f"{_few(found.empty)} in {folder} {'is' if len(found.empty) == 1 else 'are'} empty, and so is the caption."
        )
        found.problems.append(Notice("caption_extension", message))
    if found.uncaptioned:
        found.problems += _uncaptioned(found, files, images)


def _no_images(folder: Path) -> str:
    endings = ", ".join(sorted(headers.readable_endings()))
    try:
        with os.scandir(folder) as entries:
            has_folders = any(entry.is_dir() for entry in entries)
    except OSError:
        has_folders = False
    hint = " Folders in it aren't searched." if has_folders else ""
    return f"The folder {folder} holds no images; put some into it ({endings}).{hint}"


def _uncaptioned(found: Scan, files: dict[str, os.DirEntry[str]], images: list[str]) -> Iterable[Problem]:
    """Said where it may be a mistake: some images have captions, or captions lie there under another ending."""
    subset, ending = found.subset, found.subset.captions.caption_extension
    words = f"the words {subset.class_tokens!r}" if subset.class_tokens else "an empty caption"
    stems = [os.path.splitext(name)[0] for name in images]
    for other in texts.OTHER_ENDINGS:
        count = 0 if other == ending else sum(texts.file_for(stem, other, files) is not None for stem in stems)
        if count:
            message = f"{found.folder} holds {count} {other} files beside images without a {ending} file; "
            message += f"set it to {other} to use them."
            yield Notice("caption_extension", message)
    if found.uncaptioned < len(images) or not subset.class_tokens:
        message = (
            f"{found.uncaptioned} of {len(images)} images in {found.folder} have no {ending} file; they get {words}."
        )
        yield Notice("caption_extension", message)
