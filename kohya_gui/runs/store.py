"""The folder in which runs lie, one folder each. A run's id is its folder's name."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sd_scripts.config import toml
from sd_scripts.errors import UserError
from sd_scripts.events import BadOutputFolder, RunFolder
from sd_scripts.whole import write_whole

from . import console, last_words, states
from .entry import Entry
from .index import Index, Row
from .process import Process, beating, beats_elsewhere, noted
from .reading import FINAL, RunReader

ID = re.compile(r"[^/\\\x00-\x1f]{1,200}")
PICTURES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
}
STATE_WORDS = {
    "starting": "Starting", "loading": "Loading the model", "caching": "Preparing the images", "training": "Training",
    "sampling": "Drawing samples", "saving": "Saving", "done": "Done", "stopped": "Stopped", "failed": "Failed",
    "lost": "Broken off", "queued": "Waiting", "cancelled": "Cancelled", "paused": "Paused",
}  # fmt: skip
RESUMABLE = ("lost", "paused", "stopped", "failed")
ASKED = ("stop", "stop_now", "save", "sample")
MOST_READERS = 40
GIVEN = "given.toml"


class NoSuchRun(UserError):
    """There is no run of that name."""


class RunStore:
    """Makes, lists and reads the run folders under `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.index = Index(self.root)
        self._readers: OrderedDict[str, RunReader] = OrderedDict()
        self._lock = threading.Lock()

    def rows(self) -> dict[str, Row]:
        """All runs, newest first."""
        made = self._made()
        rows = self.index.rows(made)
        ids = sorted(rows, key=lambda run_id: (-(rows[run_id].entry.created or made[run_id]), run_id))
        return {run_id: rows[run_id] for run_id in ids}

    def _made(self) -> dict[str, float]:
        """id -> when its settings were written, which is when it was made where nothing else tells."""
        found = {}
        with contextlib.suppress(OSError), os.scandir(self.root) as folders:
            for folder in folders:
                for name in ("config.toml", "events.jsonl"):
                    with contextlib.suppress(OSError):
                        found[folder.name] = (self.root / folder.name / name).stat().st_mtime
                        break
        return found

    def ids(self) -> list[str]:
        """Newest first."""
        return list(self.rows())

    def folder(self, run_id: str) -> RunFolder:
        """Raises NoSuchRun, also for names that lead out of the root."""
        path = self.root / run_id
        if not ID.fullmatch(run_id) or run_id in (".", "..") or not path.is_dir() or path.resolve().parent != self.root:
            raise NoSuchRun(f"There is no run {run_id!r} in {self.root}; choose one of the list.")
        return RunFolder(path)

    def create(self, name: str, settings: Mapping[str, object], **entry: Any) -> str:
        """A new run folder that holds its settings, among which must be no secrets, and its entry. Raises
        BadOutputFolder."""
        with self._lock:
            run_id = self._free_name(name)
            folder = RunFolder(self.root / run_id).create()
        written = {key: "" if value is None else value for key, value in settings.items()}  # TOML has no "not set"
        try:
            write_whole(folder.config, toml.write_flat({**written, "run_dir": str(folder.path)}))
            self.index.put(run_id, Entry(name=name, created=time.time(), **entry))
        except OSError as error:
            shutil.rmtree(folder.path, ignore_errors=True)
            reason = error.strerror or error
            raise BadOutputFolder(f"The run can't be written to {self.root} ({reason}); make room there.") from error
        return run_id

    def _free_name(self, name: str) -> str:
        plain = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "run"
        whole = f"{time.strftime('%Y%m%d-%H%M%S')}-{plain}"[:120]
        base = whole.encode()[:200].decode(errors="ignore")  # a folder's name has 255 bytes at most
        candidates = [base, *(f"{base}-{number}" for number in range(2, 1000))]
        return next(candidate for candidate in candidates if not (self.root / candidate).exists())

    def reader(self, run_id: str) -> RunReader:
        folder = self.folder(run_id)
        with self._lock:
            reader = self._readers.setdefault(run_id, RunReader(folder))
            self._readers.move_to_end(run_id)
            while len(self._readers) > MOST_READERS:
                self._readers.popitem(last=False)
        reader.refresh()
        return reader

    def entry(self, run_id: str) -> Entry:
        self.folder(run_id)
        return self.index.entry(run_id)

    def note(self, run_id: str, **noted: Any) -> None:
        """Its owner's name for it, tags and notes."""
        self.folder(run_id)
        self.index.change(run_id, **noted)

    def forget(self, run_id: str) -> None:
        """A run whose folder is gone."""
        with self._lock:
            self._readers.pop(run_id, None)

    def settings(self, run_id: str) -> dict[str, Any]:
        """As they were given: not with the state that a later attempt went on from."""
        folder = self.folder(run_id)
        given = folder.path / GIVEN
        return toml.read_flat(given if given.exists() else folder.config)

    def set_resume(self, run_id: str, state: Path) -> None:
        """From where the next attempt goes on. The settings as they were given are kept beside."""
        folder, settings = self.folder(run_id), self.settings(run_id)
        if not (folder.path / GIVEN).exists():
            shutil.copy2(folder.config, folder.path / GIVEN)
        settings = {key: value for key, value in settings.items() if key != "resume_from_huggingface"}
        write_whole(folder.config, toml.write_flat({**settings, "resume": str(state)}))

    def picture(self, run_id: str, file: str) -> Path:
        """A sample's file. Raises NoSuchRun where it is no picture inside the run's folder, links followed."""
        folder = self.folder(run_id)
        path = (folder.samples / file).resolve()
        if (
            not ID.fullmatch(file)
            or path.suffix.lower() not in PICTURES
            or folder.path not in path.parents
            or not path.is_file()
        ):
            raise NoSuchRun(f"The run {run_id!r} has no sample {file!r}.")
        return path

    def note_process(self, run_id: str, process: Process, returncode: int | None = None) -> None:
        note = {"pid": process.pid, "began": process.began, "returncode": returncode}
        write_whole(self.folder(run_id).path / "process.json", json.dumps(note))

    def process(self, run_id: str) -> tuple[Process | None, int | None]:
        """The engine's process where it lives, and the return code where the app saw it end."""
        folder = self.folder(run_id)
        note = _read_json(folder.path / "process.json")
        known, code = noted(note), note.get("returncode")
        if known and known.alive():
            return known, None
        return beating(folder.alive()), code if isinstance(code, int) else None

    def goes_on(self, run_id: str) -> bool:
        """Whether its engine lives, here or on another machine that has the same folder."""
        return self.process(run_id)[0] is not None or beats_elsewhere(self.folder(run_id).alive())

    def state(self, run_id: str) -> str:
        """As the entry says of a run that waits, else as its events say; `lost` where they say it goes on and no
        process does."""
        return self._state(run_id, self._row(run_id))

    def _row(self, run_id: str) -> Row:
        self.folder(run_id)
        return self.index.row(run_id)

    def _state(self, run_id: str, row: Row) -> str:
        if row.entry.status:
            return row.entry.status
        state = str(self._summary(run_id, row)["state"])
        if state not in FINAL and not self.goes_on(run_id):
            state = self._state_of_the_dead(run_id, row)
        return "paused" if state == "stopped" and row.entry.paused else state

    def _state_of_the_dead(self, run_id: str, row: Row) -> str:
        """Of a run without an engine. Its last words may have come since its events were read."""
        if self.summarised(run_id, row):
            return "lost"
        reader = self.reader(run_id)
        self.index.keep_summary(run_id, reader.size, reader.summary())
        return reader.state if reader.over else "lost"

    def _summary(self, run_id: str, row: Row) -> dict[str, Any]:
        """Of a run that is over from the index, so that its events need not be read again."""
        if self.summarised(run_id, row):
            return row.summary
        reader = self.reader(run_id)
        summary = reader.summary()
        if reader.over:
            self.index.keep_summary(run_id, reader.size, summary)
        return summary

    def summarised(self, run_id: str, row: Row) -> bool:
        """Whether the index holds all that there is to say, which it only does of a run that is over or broke off."""
        return bool(row.summary) and row.size == _size(self.root / run_id / "events.jsonl")

    def has_ended(self, run_id: str, row: Row) -> bool:
        """Whether it is known to have said its last words."""
        return self.summarised(run_id, row) and row.summary["state"] in FINAL

    def living(self) -> list[str]:
        """Runs whose engine lives, also where it has said its last words."""
        return [run_id for run_id in self.ids() if self.process(run_id)[0]]

    def line(self, run_id: str, row: Row) -> dict[str, Any]:
        """A run as a list of many shows it."""
        state, summary, entry = self._state(run_id, row), self._summary(run_id, row), row.entry
        return {
            "id": run_id,
            "name": entry.name or run_id,
            "state": state,
            "words": STATE_WORDS.get(state, state),
            "step": summary["step"],
            "total": summary["total"],
            "loss": summary["loss"],
            "created": entry.created or summary["began"],
            "began": summary["began"],
            "last": summary["last"],
            "resumable": state in RESUMABLE and bool(summary.get("states")),
            "tags": entry.tags,
            "notes": entry.notes,
            "sweep": entry.sweep,
            "devices": entry.devices,
        }

    def overview(self, most: int) -> list[dict[str, Any]]:
        """One line for each of the newest runs."""
        found = []
        for run_id, row in list(self.rows().items())[:most]:
            with contextlib.suppress(NoSuchRun):  # deleted a moment ago
                found.append(self.line(run_id, row))
        return found

    def describe(self, run_id: str) -> dict[str, Any]:
        """All about a run but its curve, samples and log."""
        reader, row = self.reader(run_id), self._row(run_id)
        line, entry = self.line(run_id, row), row.entry
        alive = self.goes_on(run_id)
        ended = reader.over or line["state"] in ("lost", "queued", "cancelled")
        return {
            **line,
            "alive": alive,
            "message": "" if entry.status else reader.message,
            "failure": self._failure(run_id, line["state"]),
            "progress": None if ended else reader.progress,
            "plan": reader.plan,
            "epoch": reader.epoch,
            "validation": next(reversed(reader.validation.values()), None),
            "attempt": reader.attempt,
            "rate": None if ended else reader.pace.per_second,
            "left": None if ended else reader.seconds_left(time.time()),
            "silent": reader.silence(time.time()) if alive else None,
            "elapsed": _elapsed(reader, ended),
            "notices": reader.notices,
            "saved": reader.saved[-20:],
            "history": reader.history,
            "rate_factor": reader.changes.factor(reader.step),
            "state_step": None if alive or not line["resumable"] else self._state_step(reader),
            "asked": [what for what in ASKED if alive and reader.folder.requested(what)],  # type: ignore[arg-type]
            "folder": str(reader.folder.path),
        }

    def _state_step(self, reader: RunReader) -> int | None:
        """The step from which a run that ended before its time can go on; None where its states are gone."""
        state = states.newest(reader.saved)
        return state.step if state else None

    def _failure(self, run_id: str, state: str) -> dict[str, Any] | None:
        reader = self.reader(run_id)
        if state != "lost":
            return reader.failure if state == "failed" else None
        if reader.began is None:
            why = "Its engine has never begun, or its events were deleted; duplicate it to start it anew."
        else:
            why = last_words.why(self.process(run_id)[1], self.log(run_id)[0])
        return reader.failure or {"sentence": why, "problems": []}

    def log(self, run_id: str) -> tuple[str, int]:
        return console.tail(self.folder(run_id).console)


def _elapsed(reader: RunReader, ended: bool) -> float | None:
    if reader.began is None:
        return None
    return max(0.0, ((reader.last or reader.began) if ended else time.time()) - reader.began)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1


def _read_json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
