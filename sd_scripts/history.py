"""How fast earlier runs on this machine went, read from their run folders. No torch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from .config import load, toml
from .config.train_config import TrainConfig
from .errors import UserError
from .events import RunFolder

LIKE = (
    "method", "pretrained_model_name_or_path", "resolution", "train_batch_size", "gradient_accumulation_steps",
    "gradient_checkpointing", "mixed_precision", "num_processes",
)  # fmt: skip
"""Settings that decide how long a step takes. Runs that agree in them are compared."""
MOST_RUNS = 200
FEWEST_STEPS = 10
TAIL_BYTES = 64 << 10
PAUSES = ("sampling", "saving")


@dataclass(frozen=True)
class Pace:
    """per_second: steps. run: the name of the run that went so."""

    per_second: float
    run: str


def pace(config: TrainConfig, runs: Path | None) -> Pace | None:
    """Of the newest run like this one, or None where there was none."""
    wanted = _alike(load.to_flat(config, all=True))
    for folder in _newest(runs) if runs else ():
        file = RunFolder(folder)
        if _settings(file.config, _stamp(file.config)) == wanted:
            found = _measured(file.events, _stamp(file.events))
            if found:
                return Pace(found, folder.name)
    return None


def _newest(runs: Path) -> list[Path]:
    try:
        with os.scandir(runs) as entries:
            folders = [(entry.stat().st_mtime, entry.path) for entry in entries if entry.is_dir()]
    except OSError:
        return []
    return [Path(path) for _, path in sorted(folders, reverse=True)[:MOST_RUNS]]


def _stamp(file: Path) -> tuple[int, int]:
    try:
        stat = file.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


def _alike(flat: Mapping[str, Any]) -> tuple[str, ...]:
    defaults = load.parameters()
    return tuple(str(flat.get(key, defaults[key].default)) for key in LIKE)


@lru_cache(maxsize=2 * MOST_RUNS)
def _settings(file: Path, stamp: tuple[int, int]) -> tuple[str, ...] | None:
    """As they are compared; None for a folder without settings that can be read."""
    try:
        config = load.from_flat(toml.read_flat(file)).config if stamp[1] else None
    except UserError:
        return None
    return None if config is None else _alike(load.to_flat(config, all=True))


@lru_cache(maxsize=2 * MOST_RUNS)
def _measured(file: Path, stamp: tuple[int, int]) -> float | None:
    """Steps a second near the end of the run."""
    if not stamp[1]:
        return None
    with file.open("rb") as opened:
        opened.seek(max(0, stamp[1] - TAIL_BYTES))
        lines = opened.read().splitlines()
    return steps_per_second(_read(lines))


def _read(lines: Iterable[bytes]) -> Iterable[dict[str, Any]]:
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:  # the first line of the tail is half a line
            continue
        if isinstance(event, dict):
            yield event


def steps_per_second(events: Iterable[Mapping[str, Any]]) -> float | None:
    """Without the time that samples and saving took. Losses come in bunches, so the whole stretch counts."""
    marks: list[tuple[float, int]] = []
    paused, pause_began = 0.0, None
    for event in events:
        time = float(event.get("time") or 0)
        if event.get("kind") in ("state", "step") and pause_began is not None:
            paused, pause_began = paused + time - pause_began, None
        if event.get("kind") == "start":
            marks, paused = [], 0.0
        elif event.get("kind") == "state" and event.get("state") in PAUSES:
            pause_began = time
        elif event.get("kind") == "step":
            marks.append((time - paused, int(event["step"])))
    if len(marks) < 2 or marks[-1][1] - marks[0][1] < FEWEST_STEPS or marks[-1][0] <= marks[0][0]:
        return None
    return (marks[-1][1] - marks[0][1]) / (marks[-1][0] - marks[0][0])
