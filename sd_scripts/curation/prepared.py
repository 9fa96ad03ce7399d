"""Folders in the form that training reads, `<repeats>_<identifier> <class>`, made as copies: nothing is moved."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config.saving import NOT_IN_A_NAME
from ..data import headers
from ..data.texts import OTHER_ENDINGS
from ..errors import UserError

TRAINING, REGULARIZATION = "img", "reg"
SPARE_BYTES = 64 << 20


class CannotPrepare(UserError):
    """Folders that can't be made as they were asked for."""


@dataclass(frozen=True)
class Part:
    """source: the folder that is copied. words: what its images are called, identifier and class."""

    source: Path
    repeats: int
    words: str
    is_reg: bool = False

    @property
    def name(self) -> str:
        return f"{self.repeats}_{' '.join(self.words.split())}"

    @property
    def place(self) -> str:
        return REGULARIZATION if self.is_reg else TRAINING

    def files(self) -> list[Path]:
        """Images and captions; folders in it and other files stay behind."""
        kept = {*headers.readable_endings(), *OTHER_ENDINGS}
        with os.scandir(self.source) as entries:
            inside = sorted(entry.path for entry in entries if entry.is_file() and not entry.name.startswith("."))
        return [Path(path) for path in inside if Path(path).suffix.lower() in kept]


@dataclass(frozen=True)
class Prepared:
    """What was made. training, regularization: folders for train_data_dir and reg_data_dir."""

    training: Path
    regularization: Path | None
    files: int


def prepare(parts: Sequence[Part], target: Path) -> Prepared:
    """Copies the parts into `target`, all or none. Raises CannotPrepare."""
    _check(parts, target)
    found = [(part, part.files()) for part in parts]
    _check_images(found)
    _check_room(target, sum(file.stat().st_size for _, files in found for file in files))
    work = target / f".{os.getpid()}.part"
    try:
        for part, files in found:
            _copy(files, work / part.place / part.name)
        for part in parts:
            place = target / part.place
            place.mkdir(exist_ok=True)
            (work / part.place / part.name).rename(place / part.name)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CannotPrepare(
            f"The copies can't be written to {target}: {reason}; nothing of yours was changed."
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    has_reg = any(part.is_reg for part in parts)
    count = sum(len(files) for _, files in found)
    return Prepared(target / TRAINING, target / REGULARIZATION if has_reg else None, count)


def _check(parts: Sequence[Part], target: Path) -> None:
    for problem in _problems(parts, target):
        raise CannotPrepare(problem)


def _problems(parts: Sequence[Part], target: Path) -> Iterator[str]:
    if not any(not part.is_reg for part in parts):
        yield "There is no folder of training images; choose one."
    for part in parts:
        yield from _name_problems(part)
        yield from _place_problems(part, target)
    names = [(part.place, part.name) for part in parts]
    for place, name in names:
        if names.count((place, name)) > 1:
            yield f"Two folders would be called {name}; give them different words."


def _name_problems(part: Part) -> Iterator[str]:
    wrong = [letter for letter in NOT_IN_A_NAME if letter in part.words]
    if wrong:
        yield f"{part.words!r} can't be part of a folder's name because of {wrong[0]!r}; leave that out."
    if not part.words.strip():
        yield "There are no words for the images; give identifier and class, such as sks dog."
    if part.repeats < 1:
        yield f"{part.repeats} repeats of {part.words} are too few; give 1 or more."


def _place_problems(part: Part, target: Path) -> Iterator[str]:
    copy = target / part.place / part.name
    if not part.source.is_dir():
        yield f"There is no folder {part.source}; check its name."
    if copy.exists():
        yield f"There is already a folder {copy}; choose another name for the copy."
    if target.resolve().is_relative_to(part.source.resolve()):
        yield f"{target} lies inside {part.source}, which is copied; choose another name for the copy."


def _check_images(found: Sequence[tuple[Part, list[Path]]]) -> None:
    for part, files in found:
        if not any(file.suffix.lower() in headers.readable_endings() for file in files):
            raise CannotPrepare(f"The folder {part.source} holds no images; choose another.")


def _check_room(target: Path, size: int) -> None:
    try:
        target.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target).free
    except OSError as error:
        raise CannotPrepare(f"The folder {target} can't be made: {error.strerror}; choose another name.") from error
    if free < size + SPARE_BYTES:
        raise CannotPrepare(
            f"The copies need {size >> 20} MB and {free >> 20} MB are free where {target} lies; make room first."
        )


def _copy(files: Sequence[Path], place: Path) -> None:
    place.mkdir(parents=True)
    for file in files:
        shutil.copy2(file, place / file.name)
