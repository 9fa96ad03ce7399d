"""What was done to the captions of a folder, step by step, so that it can be undone: also after a restart.

Each change is a file in a hidden folder beside the captions and is written before the captions are: whatever happens in
between, the texts from before are there.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import UserError
from . import caption_file

FOLDER = ".caption_history"
MOST_STEPS = 500
WRITERS = 16
NAME = re.compile(r"(\d{6})(\.undone)?\.json")


class NothingToDo(UserError):
    """There is no step to undo or to do again."""


class Conflict(UserError):
    """A caption isn't as it was left, so that changing it would lose what was written since."""


@dataclass(frozen=True)
class Change:
    """One caption file, its content before and after; None where there is no file."""

    file: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Step:
    """Changes that were made together. words: what was done. number: rises with time."""

    number: int
    words: str
    time: float
    changes: tuple[Change, ...]


class Journal:
    """The steps of one folder. Callers see to it that only one of them writes at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = folder / FOLDER

    def done(self) -> list[int]:
        """Numbers of the steps that count, oldest first."""
        return self._numbers(undone=False)

    def undone(self) -> list[int]:
        """Numbers of the steps that can be done again, the next one first."""
        return self._numbers(undone=True)

    def make(self, words: str, changes: Sequence[Change]) -> None:
        """Writes the captions. What was undone before can't be done again afterwards. Raises Conflict, CannotWrite."""
        self._refuse_strangers(changes, lambda change: change.before)
        for number in self.undone():
            self._file(number, undone=True).unlink(missing_ok=True)
        done = self.done()
        step = Step(done[-1] + 1 if done else 1, words, time.time(), tuple(changes))
        self._note(step)
        for number in done[: max(0, len(done) + 1 - MOST_STEPS)]:
            self._file(number).unlink(missing_ok=True)
        self._write({change.file: change.after for change in changes})

    def undo(self) -> Step:
        """Takes the last step back. Raises NothingToDo, Conflict, CannotWrite."""
        done = self.done()
        if not done:
            raise NothingToDo("There is nothing to undo in this folder.")
        step = self.step(done[-1])
        self._refuse_strangers(step.changes, lambda change: change.after, lambda change: change.before)
        self._write({change.file: change.before for change in step.changes})
        self._file(step.number).replace(self._file(step.number, undone=True))
        return step

    def redo(self) -> Step:
        """Does the step again that was undone last. Raises NothingToDo, Conflict, CannotWrite."""
        undone = self.undone()
        if not undone:
            raise NothingToDo("There is nothing to do again in this folder.")
        step = self.step(undone[0], undone=True)
        self._refuse_strangers(step.changes, lambda change: change.before, lambda change: change.after)
        self._write({change.file: change.after for change in step.changes})
        self._file(step.number, undone=True).replace(self._file(step.number))
        return step

    def step(self, number: int, undone: bool = False) -> Step:
        file = self._file(number, undone)
        try:
            read = json.loads(file.read_text(encoding="utf-8"))
            changes = tuple(Change(**change) for change in read["changes"])
            if any(change.file.startswith(".") or Path(change.file).name != change.file for change in changes):
                raise ValueError("a name that leads out of the folder")
            return Step(number, str(read["words"]), float(read["time"]), changes)
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = f"The step {file} of the history can't be read; move it away to undo what was done before it."
            raise Conflict(message) from error

    def _write(self, contents: Mapping[str, str | None]) -> None:
        """Many at once, because a file system that takes care waits at each file that takes another's place."""
        with ThreadPoolExecutor(WRITERS) as pool:
            for _ in pool.map(lambda name: caption_file.write(self.folder / name, contents[name]), contents):
                pass

    def _numbers(self, undone: bool) -> list[int]:
        try:
            names = os.listdir(self.place)
        except OSError:
            return []
        found = [match for match in map(NAME.fullmatch, names) if match and bool(match[2]) == undone]
        return sorted(int(match[1]) for match in found)

    def _file(self, number: int, undone: bool = False) -> Path:
        return self.place / f"{number:06d}{'.undone' if undone else ''}.json"

    def _note(self, step: Step) -> None:
        content = {"words": step.words, "time": step.time, "changes": [asdict(change) for change in step.changes]}
        try:
            self.place.mkdir(exist_ok=True)
        except OSError as error:
            message = f"The folder {self.folder} can't be written to: {error.strerror}; check its permissions."
            raise caption_file.CannotWrite(message) from error
        caption_file.write(self._file(step.number), json.dumps(content, ensure_ascii=False), surely=True)

    def _refuse_strangers(self, changes: Sequence[Change], *expected: Callable[[Change], str | None]) -> None:
        """Before anything is written. Raises Conflict for files that hold neither of the contents expected."""
        names = [
            change.file
            for change in changes
            if caption_file.read(self.folder / change.file) not in [each(change) for each in expected]
        ]
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            message = (
                f"{names[0]}{more} was changed by someone else since; nothing was written, so that no text is lost."
            )
            raise Conflict(message)
