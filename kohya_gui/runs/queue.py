"""Who is next. Pure functions of the runs' entries: what they say is done by the supervisor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from .entry import Entry

ALL = "all"
Move = Literal["up", "down", "first", "last"]
MOVES = ("up", "down", "first", "last")


def waiting(entries: Mapping[str, Entry]) -> list[str]:
    """The ids of queued runs in the order in which they will start."""
    queued = [(entry.place, entry.created, run_id) for run_id, entry in entries.items() if entry.status == "queued"]
    return [run_id for *_, run_id in sorted(queued)]


def end_of(entries: Mapping[str, Entry]) -> float:
    """The place behind all that wait."""
    return max((entry.place for entry in entries.values() if entry.status == "queued"), default=0.0) + 1


def front_of(entries: Mapping[str, Entry]) -> float:
    return min((entry.place for entry in entries.values() if entry.status == "queued"), default=2.0) - 1


def devices_of(settings: Mapping[str, object], environment: Mapping[str, str], outside: Mapping[str, str]) -> str:
    """CUDA_VISIBLE_DEVICES of the engine-to-be: as it is told, else as its settings say, else as the app's own is."""
    name = "CUDA_VISIBLE_DEVICES"
    asked = environment.get(name) or str(settings.get("gpu_ids") or "") or outside.get(name, "")
    return ",".join(part.strip() for part in asked.split(",") if part.strip()) or ALL


def share(one: str, other: str) -> bool:
    """Whether two device sets have a device in common. `all` has one in common with everything."""
    return ALL in (one, other) or bool(_set(one) & _set(other))


def _set(devices: str) -> set[str]:
    return {part.strip() for part in devices.split(",") if part.strip()}


def startable(order: Sequence[str], entries: Mapping[str, Entry], taken: Iterable[str], held: set[str]) -> list[str]:
    """Which of the waiting may start now. Nobody overtakes a run that waits for the same devices; those that are held
    stand aside."""
    busy, found = list(taken), []
    for run_id in order:
        if run_id in held:
            continue
        devices = entries[run_id].devices
        if not any(share(devices, other) for other in busy):
            found.append(run_id)
        busy.append(devices)
    return found


def moved(order: Sequence[str], run_id: str, move: Move) -> list[str]:
    """The order after the move. At its ends nothing changes."""
    rest = [other for other in order if other != run_id]
    at = order.index(run_id)
    to = {"up": at - 1, "down": at + 1, "first": 0, "last": len(rest)}[move]
    to = min(max(to, 0), len(rest))
    return [*rest[:to], run_id, *rest[to:]]
