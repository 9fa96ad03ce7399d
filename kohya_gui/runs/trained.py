"""The files that a run has trained: to be taken away, or to be deleted with the run."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sd_scripts.errors import UserError
from sd_scripts.events import objects

from .states import TRAIN_STATE, WRITTEN_OVER_SECONDS
from .store import NoSuchRun, RunStore

SUFFIXES = (".safetensors", ".ckpt", ".pt", ".bin")
LOOKED_AT = 5


class StillNeeded(UserError):
    """A run that goes on or waits can't be deleted."""


def files(store: RunStore, run_id: str) -> list[Path]:
    """What the run has saved and still lies in its output folder, in the order in which it was saved.

    A run's events are only a file: what they name elsewhere, or what is no trained file, is none of it.
    """
    try:
        output = Path(str(store.settings(run_id).get("output_dir") or "")).resolve()
    except UserError:
        output = store.root
    places = (output, store.folder(run_id).path)
    named = dict.fromkeys(Path(str(event["file"])) for event in store.reader(run_id).saved)
    return [file for file in named if file.resolve().parent in places and _is_trained(file)]


def _is_trained(file: Path) -> bool:
    """A model in one file or a folder of diffusers, or a state."""
    if file.is_dir():
        return (file / TRAIN_STATE).is_file() or (file / "model_index.json").is_file()
    return file.suffix in SUFFIXES and file.is_file()


def file(store: RunStore, run_id: str, name: str) -> Path:
    """To be taken away by a browser. Raises NoSuchRun where the run has left no such file."""
    for found in reversed(files(store, run_id)):
        if found.name == name and found.is_file():
            return found
    raise NoSuchRun(f"The run {run_id!r} has left no file {name!r}; it may have been deleted or moved.")


def newest(saved: Iterable[Mapping[str, Any]], most: int) -> list[dict[str, Any]]:
    """Of the last `saved` events those whose files are still there. bytes: of what is one file. replaced: another run
    has written over it since."""
    found: dict[str, dict[str, Any]] = {}
    for event in reversed(list(saved)[-LOOKED_AT * most :]):
        path = Path(str(event["file"]))
        if len(found) == most or str(path) in found or not path.exists():
            continue
        about = path.stat()
        found[str(path)] = {
            "file": str(path),
            "step": event["step"],
            "what": event["what"],
            "bytes": about.st_size if path.is_file() else None,
            "replaced": about.st_mtime - float(event["time"] or 0) > WRITTEN_OVER_SECONDS,
        }
    return list(found.values())


def own_files(store: RunStore, run_id: str) -> list[Path]:
    """What goes with the run: what is trained by it and by no other that goes by the same names."""
    mine = set(files(store, run_id))
    for other in store.ids() if mine else ():
        if other != run_id:
            mine -= _named(store.root / other / "events.jsonl")
    return sorted(mine)


def _named(events: Path) -> set[Path]:
    """The files that were saved. The many other events are not read, which would take its time."""
    with contextlib.suppress(OSError), events.open("rb") as lines:
        told = objects(b"".join(line for line in lines if b'"saved"' in line))
        return {Path(str(event.get("file"))) for event in told if event.get("kind") == "saved"}
    return set()


def what_goes(store: RunStore, run_id: str) -> dict[str, Any]:
    """For the question before: names and bytes of the saved files."""
    own = own_files(store, run_id)
    return {"files": [file.name for file in own], "bytes": sum(map(_bytes, own))}


def _bytes(file: Path) -> int:
    members = [file] if file.is_file() else file.rglob("*")
    return sum(member.stat().st_size for member in members if member.is_file())


def delete(store: RunStore, run_id: str, *, with_files: bool) -> None:
    """Raises StillNeeded, NoSuchRun."""
    folder = store.folder(run_id).path
    if store.entry(run_id).status in ("queued", "starting") or store.goes_on(run_id):
        raise StillNeeded(f"{run_id} is waiting or going on; cancel or stop it, then delete it.")
    if not (folder / "config.toml").exists() and not (folder / "events.jsonl").exists():
        raise NoSuchRun(f"There is no run {run_id!r} in {store.root}; choose one of the list.")
    for file in own_files(store, run_id) if with_files else []:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    shutil.rmtree(folder)
    store.forget(run_id)
