"""A folder of images with their captions, as it is looked at and edited. Nothing is kept that isn't read anew when the
file has changed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from ..data import headers, texts
from ..data.buckets import Size
from ..data.index import Stamp, stamp_of
from ..data.texts import BadCaption
from ..errors import UserError
from . import caption_file
from .edits import Edit, tags_of
from .journal import Change, Conflict, Journal, Step


class NoSuchImage(UserError):
    """A name that no image of the folder has."""


class NoFolder(UserError):
    """A folder that can't be looked into."""


@dataclass(frozen=True)
class Caption:
    """content: the whole file, None where there is none. problem: why it can't be read."""

    file: str
    content: str | None = None
    problem: str = ""

    @property
    def text(self) -> str:
        return caption_file.body(self.content)


@dataclass(frozen=True)
class Item:
    """An image and its caption. Two images of one name share a caption file."""

    name: str
    stamp: Stamp
    caption: Caption


@dataclass(frozen=True)
class Search:
    """Which images are meant. words: stand in the caption or the name. tags: the caption has all of them. state: "" for
    all, "without" for those without a caption or with an empty one. names: only these; None for all."""

    words: str = ""
    tags: tuple[str, ...] = ()
    state: str = ""
    names: frozenset[str] | None = None

    def finds(self, item: Item) -> bool:
        text = item.caption.text
        if self.names is not None and item.name not in self.names:
            return False
        if self.state == "without" and text.strip():
            return False
        if self.words and self.words.casefold() not in f"{item.name}\n{text}".casefold():
            return False
        return not self.tags or set(self.tags) <= {tag for line in text.split("\n") for tag in tags_of(line)}


@dataclass(frozen=True)
class Outcome:
    """What an edit does. changes: by caption file. skipped: sentences about captions that were left alone."""

    looked_at: int
    changes: tuple[tuple[Item, str], ...]
    skipped: tuple[str, ...]


@dataclass
class ImageFolder:
    """ending: of the caption files. may_read: whether a file outside, to which a link in the folder leads, may be."""

    path: Path
    ending: str = ".txt"
    may_read: Callable[[Path], bool] = lambda _: False
    _captions: dict[str, tuple[Stamp, Caption]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @property
    def journal(self) -> Journal:
        return Journal(self.path)

    def items(self) -> list[Item]:
        """By name. Raises NoFolder."""
        files = self._files()
        images = sorted(name for name in files if _ending(name) in headers.readable_endings())
        return [Item(name, files[name], self._caption(name, files)) for name in images]

    def found(self, search: Search) -> list[Item]:
        return [item for item in self.items() if search.finds(item)]

    def size(self, name: str) -> Size | None:
        """None for a picture that is broken."""
        try:
            return headers.size_of(self.path / name)
        except UserError:
            return None

    def picture(self, name: str) -> Path:
        """Raises NoSuchImage."""
        if name not in self._files() or _ending(name) not in headers.readable_endings():
            raise NoSuchImage(f"There is no image {name!r} in {self.path}; load the folder again.")
        return self.path / name

    def _files(self) -> dict[str, Stamp]:
        try:
            with os.scandir(self.path) as entries:
                return {entry.name: stamp_of(entry.stat()) for entry in entries if self._is_ours(entry)}
        except OSError as error:
            reason = "does not exist" if isinstance(error, FileNotFoundError) else f"can't be read: {error.strerror}"
            raise NoFolder(f"The folder {self.path} {reason}; check its name and permissions.") from error

    def _is_ours(self, entry: os.DirEntry[str]) -> bool:
        if entry.name.startswith(".") or not entry.is_file():
            return False
        return not entry.is_symlink() or self.may_read(Path(entry.path))

    def _caption(self, image: str, files: dict[str, Stamp]) -> Caption:
        stem = image.rpartition(".")[0]
        file = texts.file_for(stem, self.ending, files)
        if file is None:
            return Caption(stem + self.ending)
        known = self._captions.get(file)
        if known is None or known[0] != files[file]:
            known = self._captions[file] = (files[file], self._read(file))
        return known[1]

    def _read(self, file: str) -> Caption:
        try:
            return Caption(file, caption_file.read(self.path / file))
        except BadCaption as error:
            return Caption(file, problem=str(error))

    # Changes

    def put(self, name: str, text: str, seen: str) -> None:
        """One caption by hand. seen: the text that was there when it was begun. Raises NoSuchImage, Conflict."""
        with self._lock:
            item = next((item for item in self.items() if item.name == name), None)
            if item is None:
                raise NoSuchImage(f"There is no image {name!r} in {self.path}; load the folder again.")
            if item.caption.problem:
                raise Conflict(item.caption.problem)
            if item.caption.text != seen:
                message = f"The caption of {name} was changed elsewhere in the meantime; copy your text and load again."
                raise Conflict(message)
            if text != seen:
                self.journal.make(f"Edit {name}", [_change(item, text)])

    def tried(self, edit: Edit, search: Search) -> Outcome:
        """What an edit would do. Raises BadEdit."""
        changes: dict[str, tuple[Item, str]] = {}
        skipped: dict[str, None] = {}
        items = self.found(search)
        for item in items:
            if item.caption.problem:
                skipped[item.caption.problem] = None
                continue
            after = edit(item.caption.text)
            if after != item.caption.text:
                changes[item.caption.file] = (item, after)
        return Outcome(len(items), tuple(changes.values()), tuple(skipped))

    def apply(self, edit: Edit, search: Search) -> Outcome:
        """Raises BadEdit, Conflict, CannotWrite."""
        with self._lock:
            outcome = self.tried(edit, search)
            if outcome.changes:
                self.journal.make(edit.words, [_change(item, text) for item, text in outcome.changes])
            return outcome

    def undo(self) -> Step:
        """Raises NothingToDo, Conflict, CannotWrite."""
        with self._lock:
            return self.journal.undo()

    def redo(self) -> Step:
        """Raises NothingToDo, Conflict, CannotWrite."""
        with self._lock:
            return self.journal.redo()


def _change(item: Item, text: str) -> Change:
    return Change(item.caption.file, item.caption.content, caption_file.with_body(item.caption.content, text))


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def usual_ending(names: Iterable[str]) -> str:
    """The ending that most caption files among these names have."""
    counts = Counter(_ending(name) for name in names)
    return max(texts.OTHER_ENDINGS, key=lambda ending: counts[ending])
