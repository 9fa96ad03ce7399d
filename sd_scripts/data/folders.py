"""The images of a folder and their captions, and a sentence for everything in it that isn't taken."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config.schema import Notice, Problem
from ..errors import UserError
from . import headers, texts
from .headers import few
from .index import Fact, Index
from .info import FolderInfo
from .records import Picture, Subset

MOST_NAMED = 20  # broken files that get a sentence of their own
OTHER_KINDS = (".gif", ".tif", ".tiff", ".jfif", ".heic", ".heif", ".jp2", ".tga", ".psd")
Entry = os.DirEntry[str]


@dataclass
class Scan:
    """The images of one folder, with what is wrong with them."""

    subset: Subset
    pictures: list[Picture] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    captions: int = 0  # files
    uncaptioned: int = 0  # images
    empty: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    animated: list[str] = field(default_factory=list)
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

    def about_animated(self) -> Iterator[Problem]:
        """Of which not everything is trained that a user may believe to be."""
        count, place = len(self.animated), self.subset.metadata_file or self.folder
        if count == 1:
            message = f"1 image of {place} is animated ({self.animated[0]}); only its first picture is trained."
            yield Notice(self.subset.key, message)
        elif count:
            message = f"{count} images of {place} are animated ({few(self.animated)}); "
            yield Notice(self.subset.key, f"{message}of each only the first picture is trained.")


def scan(subset: Subset) -> Scan:
    """Finds the images of a folder, their sizes and captions."""
    found = Scan(subset)
    folder = found.folder
    try:
        with os.scandir(folder) as entries:
            inside = list(entries)
        files = {entry.name: entry for entry in inside if entry.is_file()}
        for entry in files.values():
            entry.stat()  # entries remember it, and in the folder's own order it is found a third faster
        images = _images(found, files)
        _look(found, files, images)
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"can't be read: {error.strerror}"
        found.problems.append(Problem(subset.key, f"The folder {folder} {reason}; check its name and permissions."))
        return found
    found.problems += _about_images(found, images)
    found.problems += found.about_animated()
    found.problems += _about_captions(found, files, images)
    if len(inside) > len(images) + found.captions:
        found.problems += _left_out(found, inside, files)
    return found


def _images(found: Scan, files: Mapping[str, Entry]) -> list[Entry]:
    """Those that can be read, by name; some that the installed Pillow can't read are noted."""
    unknown = tuple(set(headers.NEWER).difference(headers.readable_endings()))
    found.unreadable = headers.ending_with(unknown, files) if unknown else []
    return [files[name] for name in headers.images_among(files)]


def _look(found: Scan, files: Mapping[str, Entry], images: list[Entry]) -> None:
    """Sizes and captions: trusted ones, remembered ones, and the others looked up."""
    index = Index(found.folder)
    info = FolderInfo.read(found.folder) if found.subset.dataset.cache_info else None
    trusted = {image.path: known for image in images if (known := info.get(image.name))} if info else {}
    rest = [image for image in images if image.path not in trusted] if trusted else images
    heads = index.facts("headers", rest, headers.look)
    lines = _captions(found, files, rest, index)
    broken = _broken(found, heads, lines)
    sound = [each for place, each in enumerate(zip(rest, heads, lines, strict=True)) if place not in broken]
    pictures = [Picture(image.path, (head[0], head[1]), own) for image, head, own in sound]
    found.animated = [image.name for image, head, _ in sound if head[2]]
    pictures += [Picture(path, *known) for path, known in trusted.items()]
    found.pictures = sorted(pictures, key=lambda picture: picture.file) if trusted else pictures
    index.save()
    if info is not None and not found.problems:
        animated = set(found.animated)
        info.write(picture for picture in found.pictures if picture.path.name not in animated)


def _broken(found: Scan, *facts: Sequence[Fact]) -> set[int]:
    """The places of images that a fact could not be found out of, after saying why."""
    wrong = {place: fact for of in facts for place, fact in enumerate(of) if isinstance(fact, UserError)}
    for place in sorted(wrong):
        found.broke(str(wrong[place]))
    return set(wrong)


def _captions(found: Scan, files: Mapping[str, Entry], images: list[Entry], index: Index) -> list[Any]:
    """The lines of each image's caption file, or why it can't be read; without a file the words of the folder."""
    ending = found.subset.captions.caption_extension
    stems = [image.name[: image.name.rfind(".")] for image in images]
    own = [files.get(stem + ending) for stem in stems]
    if None in own:
        own = [entry or _of_a_face(stem, ending, files) for entry, stem in zip(own, stems, strict=True)]
    there = list(dict.fromkeys(filter(None, own)))
    lines = dict(zip(there, index.facts("captions", there, texts.read_lines), strict=True))
    found.captions, found.uncaptioned = len(there), own.count(None)
    found.empty = [entry.name for entry in there if not lines[entry]]
    otherwise = (found.subset.class_tokens or "",)
    read = [otherwise if entry is None else lines[entry] for entry in own]
    return [one if isinstance(one, UserError) else tuple(one) or ("",) for one in read]


def _of_a_face(stem: str, ending: str, files: Mapping[str, Entry]) -> Entry | None:
    name = texts.file_for(stem, ending, files)
    return files[name] if name else None


def _about_images(found: Scan, images: list[Entry]) -> Iterator[Problem]:
    key, folder = found.subset.key, found.folder
    if found.broken > MOST_NAMED:
        yield Problem(key, f"{found.broken - MOST_NAMED} more files in {folder} are broken.")
    if not images:
        endings = ", ".join(sorted(headers.readable_endings()))
        yield Problem(key, f"The folder {folder} holds no images; put some into it ({endings}).")
    if found.unreadable:
        message = f"{few(found.unreadable)} in {folder} can't be read by the installed Pillow; "
        yield Problem(key, message + "save them as .png or .webp.")


def _left_out(found: Scan, inside: list[Entry], files: Mapping[str, Entry]) -> Iterator[Problem]:
    """What a user may believe to be trained."""
    key, folder = found.subset.key, found.folder
    others = [entry for entry in inside if entry.name not in files]
    for name in headers.images_among(entry.name for entry in others if not entry.is_dir()):
        yield Problem(key, f"The image {folder / name} is a link that leads nowhere; mend it or take it out.")
    for place in sorted(Path(entry.path) for entry in others if entry.is_dir()):
        if place != found.subset.mask_dir and _holds_images(place):
            yield Notice(key, f"The images in {place} are left out, because folders in folders aren't searched.")
    other_kinds = headers.ending_with(OTHER_KINDS, files)
    if other_kinds:
        message = f"{few(other_kinds)} in {folder} {'is' if len(other_kinds) == 1 else 'are'} left out; "
        yield Notice(key, message + "save what is to be trained as .png, .jpg or .webp.")


def _holds_images(folder: Path) -> bool:
    try:
        return not folder.name.startswith(".") and bool(headers.images_among(os.listdir(folder)))
    except OSError:
        return False


def _about_captions(found: Scan, files: Mapping[str, Entry], images: list[Entry]) -> Iterator[Problem]:
    """Said where it may be a mistake: some images have captions, or captions lie there under another ending."""
    subset, folder, ending = found.subset, found.folder, found.subset.captions.caption_extension
    if found.empty:
        message = (
            f"{few(found.empty)} in {folder} {'is' if len(found.empty) == 1 else 'are'} empty, and so is the caption."
        )
        yield Notice("caption_extension", message)
    if not found.uncaptioned:
        return
    stems = [image.name[: image.name.rfind(".")] for image in images]
    for other in texts.OTHER_ENDINGS if len(files) > len(images) + found.captions else ():
        count = 0 if other == ending else sum(texts.file_for(stem, other, files) is not None for stem in stems)
        if count:
            message = f"{folder} holds {count} {other} files beside images without a {ending} file; "
            yield Notice("caption_extension", f"{message}set it to {other} to use them.")
    if found.uncaptioned < len(images) or not subset.class_tokens:
        words = f"the words {subset.class_tokens!r}" if subset.class_tokens else "an empty caption"
        message = f"{found.uncaptioned} of {len(images)} images in {folder} have no {ending} file; they get {words}."
        yield Notice("caption_extension", message)
