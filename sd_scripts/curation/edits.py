"""What can be done to many captions at once: functions from a caption to a caption. Lines are treated one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import regex  # type: ignore[import-untyped]  # it can be given a time limit, which `re` can't

from ..errors import UserError

SEPARATOR = ","
SECONDS_A_CAPTION = 0.5


class BadEdit(UserError):
    """An edit that can't be made as it was asked for."""


class Edit:
    """What is done. `words`: how it is called in the history."""

    name: ClassVar[str]

    @property
    def words(self) -> str:
        raise NotImplementedError

    def line(self, line: str) -> str:
        raise NotImplementedError

    def __call__(self, caption: str) -> str:
        return "\n".join(map(self.line, caption.split("\n")))


@dataclass(frozen=True)
class Replace(Edit):
    """Every place where `find` stands. As a pattern, `by` can hold \\1 or \\g<name> for what groups found."""

    name: ClassVar[str] = "replace"
    find: str
    by: str = ""
    as_pattern: bool = False
    match_case: bool = False

    def __post_init__(self) -> None:
        if not self.find:
            raise BadEdit("There is nothing to search for; type what shall be replaced.")
        try:
            regex.compile(self._pattern)
            regex.sub(f"(?:{self._pattern})|", self._by, "")  # it finds nothing at least, so that `by` is looked at
        except (regex.error, IndexError) as error:
            message = f"The pattern {self.find!r} can't be used: {error}; put a \\ before signs that mean themselves."
            raise BadEdit(message) from error

    @property
    def words(self) -> str:
        return f"Replace {self.find!r} by {self.by!r}"

    @property
    def _pattern(self) -> str:
        return self.find if self.as_pattern else regex.escape(self.find)

    @property
    def _by(self) -> str:
        return self.by if self.as_pattern else self.by.replace("\\", r"\\")

    def __call__(self, caption: str) -> str:
        """On the whole caption, so that a pattern can span lines."""
        flags = 0 if self.match_case else regex.IGNORECASE
        try:
            return str(regex.sub(self._pattern, self._by, caption, flags=flags, timeout=SECONDS_A_CAPTION))
        except TimeoutError as error:
            raise BadEdit(f"The pattern {self.find!r} takes too long to search for; make it simpler.") from error


@dataclass(frozen=True)
class Prefix(Edit):
    """Put text in front of each caption, as it is typed."""

    name: ClassVar[str] = "prefix"
    text: str

    def __post_init__(self) -> None:
        _needs(self.text, "put in front")

    @property
    def words(self) -> str:
        return f"Put {self.text!r} in front"

    def line(self, line: str) -> str:
        return self.text + line if line else self.text.rstrip(f"{SEPARATOR} ")


@dataclass(frozen=True)
class Suffix(Edit):
    """Put text after each caption, as it is typed."""

    name: ClassVar[str] = "suffix"
    text: str

    def __post_init__(self) -> None:
        _needs(self.text, "put at the end")

    @property
    def words(self) -> str:
        return f"Put {self.text!r} at the end"

    def line(self, line: str) -> str:
        return line + self.text if line else self.text.lstrip(f"{SEPARATOR} ")


def tags_of(line: str) -> list[str]:
    return [tag.strip() for tag in line.split(SEPARATOR) if tag.strip()]


class TagEdit(Edit):
    """An edit of the list of tags. A line whose tags stay the same stays as it was written."""

    def tags(self, tags: list[str]) -> list[str]:
        raise NotImplementedError

    def line(self, line: str) -> str:
        before = tags_of(line)
        after = self.tags(before)
        return line if after == before else f"{SEPARATOR} ".join(after)


@dataclass(frozen=True)
class AddTags(TagEdit):
    """Tags that a caption has already aren't added again."""

    name: ClassVar[str] = "add_tags"
    text: str
    in_front: bool = False

    def __post_init__(self) -> None:
        _needs(",".join(tags_of(self.text)), "add")

    @property
    def words(self) -> str:
        return f"Add the tags {self.text!r}"

    def tags(self, tags: list[str]) -> list[str]:
        new = [tag for tag in dict.fromkeys(tags_of(self.text)) if tag not in tags]
        return [*new, *tags] if self.in_front else [*tags, *new]


@dataclass(frozen=True)
class RemoveTags(TagEdit):
    """Tags that are exactly these, upper or lower case."""

    name: ClassVar[str] = "remove_tags"
    text: str

    def __post_init__(self) -> None:
        _needs(",".join(tags_of(self.text)), "take out")

    @property
    def words(self) -> str:
        return f"Take out the tags {self.text!r}"

    def tags(self, tags: list[str]) -> list[str]:
        gone = {tag.casefold() for tag in tags_of(self.text)}
        return [tag for tag in tags if tag.casefold() not in gone]


@dataclass(frozen=True)
class SortTags(TagEdit):
    """By the alphabet; the first `keep` stay where they are."""

    name: ClassVar[str] = "sort_tags"
    keep: int = 0

    def __post_init__(self) -> None:
        if self.keep < 0:
            raise BadEdit("The number of tags that stay in front is below 0; give 0 or more.")

    @property
    def words(self) -> str:
        return "Sort the tags"

    def tags(self, tags: list[str]) -> list[str]:
        return [*tags[: self.keep], *sorted(tags[self.keep :], key=lambda tag: (tag.casefold(), tag))]


@dataclass(frozen=True)
class DedupeTags(TagEdit):
    """Of tags that stand more than once, upper or lower case, the first stays."""

    name: ClassVar[str] = "dedupe_tags"

    @property
    def words(self) -> str:
        return "Take out repeated tags"

    def tags(self, tags: list[str]) -> list[str]:
        first: dict[str, str] = {}
        for tag in tags:
            first.setdefault(tag.casefold(), tag)
        return list(first.values())


def _needs(text: str, what: str) -> None:
    if not text.strip():
        raise BadEdit(f"There is nothing to {what}; type some text.")


KINDS: dict[str, type[Edit]] = {
    kind.name: kind for kind in (Replace, Prefix, Suffix, AddTags, RemoveTags, SortTags, DedupeTags)
}


def read(kind: object, settings: dict[str, Any]) -> Edit:
    """An edit as the page or the command line asks for it. Raises BadEdit."""
    if kind not in KINDS:
        raise BadEdit(f"There is no edit {kind!r}; there is: {', '.join(KINDS)}.")
    make: Callable[..., Edit] = KINDS[str(kind)]
    try:
        return make(**settings)
    except TypeError as error:
        raise BadEdit(f"The edit {kind} can't be made with {', '.join(settings) or 'no settings'}.") from error


def counted(captions: Iterable[str]) -> dict[str, int]:
    """In how many captions each tag stands, most frequent first."""
    found: dict[str, int] = {}
    for caption in captions:
        for tag in {tag for line in caption.split("\n") for tag in tags_of(line)}:
            found[tag] = found.get(tag, 0) + 1
    return dict(sorted(found.items(), key=lambda entry: (-entry[1], entry[0].casefold())))
