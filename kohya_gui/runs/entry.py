"""What the app knows of a run and its engine does not: its name, its place in the queue, what its owner noted."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from sd_scripts.whole import write_whole

FILE = "run.json"
Status = Literal["", "queued", "starting", "cancelled"]


@dataclass(frozen=True)
class Entry:
    """Lies in the run's folder as run.json; the index only repeats it.

    status: empty where the engine's own words say how the run stands. place: in the queue, smallest first.
    devices: CUDA_VISIBLE_DEVICES of the engine, or `all`. secrets: names of the environment's variables that it was
    given, never what they hold. resumed_step: where the attempt to come, or the last one, goes on. ended: somebody
    asked for its end, so it is not brought back by itself. noticed: it was seen to be broken off.
    """

    name: str = ""
    created: float = 0.0
    tags: tuple[str, ...] = ()
    notes: str = ""
    status: Status = ""
    place: float = 0.0
    devices: str = "all"
    secrets: tuple[str, ...] = ()
    sweep: str = ""
    paused: bool = False
    ended: bool = False
    noticed: bool = False
    resumed_step: int = -1

    def changed(self, **changes: Any) -> Entry:
        return dataclasses.replace(self, **changes)


KINDS: dict[str, tuple[type, ...]] = {
    "name": (str,), "created": (int, float), "tags": (list,), "notes": (str,), "status": (str,), "place": (int, float),
    "devices": (str,), "secrets": (list,), "sweep": (str,), "paused": (bool,), "ended": (bool,), "noticed": (bool,),
    "resumed_step": (int,),
}  # fmt: skip


def from_json(found: Mapping[str, Any]) -> Entry:
    """What can't be read as it should be keeps its default, so that no damaged file hides a run."""
    kept: dict[str, Any] = {key: value for key, value in found.items() if isinstance(value, KINDS.get(key, ()))}
    if kept.get("status") not in get_args(Status):
        kept.pop("status", None)
    lists: dict[str, Any] = {key: tuple(map(str, value)) for key, value in kept.items() if isinstance(value, list)}
    return Entry(**{**kept, **lists})


def to_json(entry: Entry) -> str:
    return json.dumps(dataclasses.asdict(entry), ensure_ascii=False)


def read(folder: Path) -> Entry:
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Entry()
    return from_json(found) if isinstance(found, dict) else Entry()


def write(folder: Path, entry: Entry) -> None:
    write_whole(folder / FILE, to_json(entry))


def written(folder: Path) -> int:
    """When run.json was written, in nanoseconds; 0 where there is none."""
    try:
        return (folder / FILE).stat().st_mtime_ns
    except OSError:
        return 0
