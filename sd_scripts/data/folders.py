"""Folders named `<repeats>_<words>` and the images and captions in them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..config.captions import CaptionConfig
from ..config.dataset import DatasetConfig
from ..config.schema import Notice, Problem
from . import headers, texts
from .buckets import Size
from .index import Index, stamp_of
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
    stem, dot, ending = name.rpartition(".")
    return dot + ending.lower() if stem else ""


@dataclass
class Scan:
    """The images of one folder, with what is wrong with them."""

    subset: Subset
    pictures: list[Picture] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    uncaptioned: int = 0
    empty: list[str] = field(default_factory=list)
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
    images = sorted(name for name in files if _is_image(name))
    _look(found, files, images)
    _judge(found, files, images)
    return found


def _look(found: Scan, files: dict[str, os.DirEntry[str]], images: list[str]) -> None:
    index = Index(found.folder)
    info = FolderInfo.read(found.folder) if found.subset.dataset.cache_info else None
    reader = _Reader(found, files, index)
    for name in images:
        trusted = info.get(name) if info else None
        if trusted:
            found.pictures.append(Picture(files[name].path, *trusted))
        else:
            reader.add(name)
    index.keep_only("sizes", set(images))
    index.save()
    if info is not None and not found.problems:
        info.write(found.pictures)


@dataclass
class _Reader:
    """Looks at one image after the other, or remembers what it saw last time."""

    found: Scan
    files: dict[str, os.DirEntry[str]]
    index: Index

    def add(self, name: str) -> None:
        try:
            size = self._size(name)
            captions = self._captions(name)
        except (headers.BadImage, texts.BadCaption) as error:
            self.found.broke(str(error))
        else:
            self.found.pictures.append(Picture(self.files[name].path, size, captions))

    def _size(self, name: str) -> Size:
        stamp = stamp_of(self.files[name].stat())
        known = self.index.get("sizes", name, stamp)
        if known is None:
            known = headers.size_of(self.files[name].path)
            self.index.put("sizes", name, stamp, known)
        width, height = known
        return width, height

    def _captions(self, name: str) -> tuple[str, ...]:
        subset = self.found.subset
        file = texts.file_for(name.rpartition(".")[0], subset.captions.caption_extension, self.files)
        if file is None:
            self.found.uncaptioned += 1
            return (subset.class_tokens or "",)
        stamp = stamp_of(self.files[file].stat())
        lines = self.index.get("captions", file, stamp)
        if lines is None:
            lines = texts.read_lines(Path(self.files[file].path))
            self.index.put("captions", file, stamp, lines)
        if not lines:
            self.found.empty.append(file)
        return tuple(lines) or ("",)


def _judge(found: Scan, files: dict[str, os.DirEntry[str]], images: list[str]) -> None:
    """Sentences about the folder as a whole."""
    subset, folder = found.subset, found.folder
    if found.broken > MOST_NAMED:
        message = f"{found.broken - MOST_NAMED} more files in {folder} are broken."
        found.problems.append(Problem(subset.key, message))
    if not images:
        found.problems.append(Problem(subset.key, _no_images(folder)))
    newer = set(headers.NEWER) - headers.readable_endings()
    unreadable = sorted(name for name in files if _ending(name) in newer)
    if unreadable:
        message = f"{_few(unreadable)} in {folder} can't be read by the installed Pillow; save them as .png or .webp."
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
