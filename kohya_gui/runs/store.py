"""The folder in which runs lie, one folder each. A run's id is its folder's name."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sd_scripts.config import toml
from sd_scripts.errors import UserError
from sd_scripts.events import RunFolder, write_whole

from . import console
from .process import Process, beating
from .reading import RunReader

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
    "lost": "Broken off",
}  # fmt: skip
SPAWN_GRACE_SECONDS = 3.0


class NoSuchRun(UserError):
    """There is no run of that name."""


class RunStore:
    """Makes, lists and reads the run folders under `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._readers: dict[str, RunReader] = {}
        self._lock = threading.Lock()

    def ids(self) -> list[str]:
        """Newest first."""
        try:
            found = [
                entry
                for entry in self.root.iterdir()
                if (entry / "config.toml").is_file() or (entry / "events.jsonl").is_file()
            ]
        except OSError:
            return []
        return [entry.name for entry in sorted(found, key=_age)]

    def folder(self, run_id: str) -> RunFolder:
        """Raises NoSuchRun, also for names that lead out of the root."""
        path = self.root / run_id
        if not ID.fullmatch(run_id) or run_id in (".", "..") or not path.is_dir() or path.resolve().parent != self.root:
            raise NoSuchRun(f"There is no run {run_id!r} in {self.root}; choose one of the list.")
        return RunFolder(path)

    def create(self, name: str, settings: Mapping[str, object]) -> str:
        """A new run folder that holds its settings, among which must be no secrets."""
        with self._lock:
            run_id = self._free_name(name)
            folder = RunFolder(self.root / run_id).create()
        written = {key: "" if value is None else value for key, value in settings.items()}  # TOML has no "not set"
        write_whole(folder.config, toml.write_flat({**written, "run_dir": str(folder.path)}))
        return run_id

    def _free_name(self, name: str) -> str:
        plain = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "run"
        base = f"{time.strftime('%Y%m%d-%H%M%S')}-{plain}"[:120]
        candidates = [base, *(f"{base}-{number}" for number in range(2, 1000))]
        return next(candidate for candidate in candidates if not (self.root / candidate).exists())

    def reader(self, run_id: str) -> RunReader:
        folder = self.folder(run_id)
        with self._lock:
            reader = self._readers.setdefault(run_id, RunReader(folder))
        reader.refresh()
        return reader

    def settings(self, run_id: str) -> dict[str, Any]:
        return toml.read_flat(self.folder(run_id).config)

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
        noted = Process(int(note["pid"]), float(note["began"])) if note.get("began") else None
        if noted and noted.alive():
            return noted, None
        return beating(folder.alive()), note.get("returncode")

    def state(self, run_id: str) -> str:
        """As the events say, but `lost` where they say it goes on and no process does."""
        reader = self.reader(run_id)
        if reader.over or self.process(run_id)[0] or self._just_made(run_id):
            return reader.state
        reader.refresh()  # the last words may have come between the two looks
        return reader.state if reader.over else "lost"

    def _just_made(self, run_id: str) -> bool:
        path = self.folder(run_id).path
        return not (path / "process.json").exists() and time.time() - path.stat().st_mtime < SPAWN_GRACE_SECONDS

    def living(self) -> list[str]:
        return [run_id for run_id in self.ids() if self.process(run_id)[0]]

    def overview(self, most: int) -> list[dict[str, Any]]:
        """One line for each of the newest runs."""
        return [self._line(run_id) for run_id in self.ids()[:most]]

    def _line(self, run_id: str) -> dict[str, Any]:
        reader, state = self.reader(run_id), self.state(run_id)
        total = reader.plan.get("total_steps")
        return {
            "id": run_id,
            "state": state,
            "words": STATE_WORDS.get(state, state),
            "step": reader.step,
            "total": total,
        }

    def describe(self, run_id: str) -> dict[str, Any]:
        """All about a run but its curve, samples and log."""
        reader, state = self.reader(run_id), self.state(run_id)
        alive = self.process(run_id)[0] is not None
        folder = reader.folder
        ended = reader.over or state == "lost"
        return {
            **self._line(run_id),
            "alive": alive,
            "message": reader.message,
            "failure": reader.failure or (self._last_words(run_id) if state == "lost" else None),
            "progress": reader.progress,
            "plan": reader.plan,
            "epoch": reader.epoch,
            "loss": reader.loss,
            "attempt": reader.attempt,
            "rate": None if ended else reader.pace.per_second,
            "left": None if ended else reader.seconds_left,
            "began": reader.began,
            "elapsed": _elapsed(reader, ended),
            "notices": reader.notices,
            "saved": reader.saved[-20:],
            "asked": [what for what in ("stop", "stop_now", "save", "sample") if alive and folder.requested(what)],
            "folder": str(folder.path),
        }

    def _last_words(self, run_id: str) -> dict[str, Any]:
        code = self.process(run_id)[1]
        if code is None:
            why = "The engine ended without saying why; the machine or the process may have been switched off."
        elif code == -9:
            why = "The engine was killed, most often because memory ran out; try a smaller batch or resolution."
        else:
            why = f"The engine ended on its own with code {code}; the end of its log says more."
        return {"sentence": why, "problems": []}

    def log(self, run_id: str) -> tuple[str, int]:
        return console.tail(self.folder(run_id).console)


def _elapsed(reader: RunReader, ended: bool) -> float | None:
    if reader.began is None:
        return None
    return max(0.0, ((reader.last or reader.began) if ended else time.time()) - reader.began)


def _age(folder: Path) -> tuple[float, str]:
    """Sorts newest first: by when the run was made, which its settings file tells."""
    for name in ("config.toml", "events.jsonl"):
        try:
            return -(folder / name).stat().st_mtime, folder.name
        except OSError:
            continue
    return 0.0, folder.name


def _read_json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
