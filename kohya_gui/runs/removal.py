"""Deleting a run, and the files that it has saved where that is asked for."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

from sd_scripts.errors import UserError

from .states import TRAIN_STATE
from .store import NoSuchRun, RunStore

SUFFIXES = (".safetensors", ".ckpt", ".pt", ".bin")


class StillNeeded(UserError):
    """A run that goes on or waits can't be deleted."""


def saved_files(store: RunStore, run_id: str) -> list[Path]:
    """What the run has saved and still lies in its output folder, and in no other run's list.

    A run's events are only a file: what they name elsewhere, or what is no trained file, is never touched.
    """
    others = {file for other in store.ids() if other != run_id for file in _named(store, other)}
    return sorted(file for file in _named(store, run_id) - others if file.exists())


def _named(store: RunStore, run_id: str) -> set[Path]:
    try:
        output = Path(str(store.settings(run_id).get("output_dir") or "")).resolve()
        saved = store.reader(run_id).saved
    except (UserError, OSError):
        return set()
    places = (output, store.folder(run_id).path)
    found = {Path(str(event["file"])) for event in saved}
    return {file for file in found if file.resolve().parent in places and _is_trained(file)}


def _is_trained(file: Path) -> bool:
    return file.suffix in SUFFIXES or (file / TRAIN_STATE).is_file() or (file / "model_index.json").is_file()


def what_goes(store: RunStore, run_id: str) -> dict[str, Any]:
    """For the question before: names and bytes of the saved files."""
    files = saved_files(store, run_id)
    return {"files": [file.name for file in files], "bytes": sum(map(_bytes, files))}


def _bytes(file: Path) -> int:
    members = [file] if file.is_file() else file.rglob("*")
    return sum(member.stat().st_size for member in members if member.is_file())


def delete(store: RunStore, run_id: str, *, with_files: bool) -> None:
    """Raises StillNeeded, NoSuchRun."""
    folder = store.folder(run_id).path
    if store.entry(run_id).status in ("queued", "starting") or store.process(run_id)[0]:
        raise StillNeeded(f"{run_id} is waiting or going on; cancel or stop it, then delete it.")
    if not (folder / "config.toml").exists() and not (folder / "events.jsonl").exists():
        raise NoSuchRun(f"There is no run {run_id!r} in {store.root}; choose one of the list.")
    for file in saved_files(store, run_id) if with_files else []:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    shutil.rmtree(folder)
    store.forget(run_id)
