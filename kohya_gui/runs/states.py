"""From where a run can go on: the state folders that its engine has saved."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TRAIN_STATE = "train_state.json"
WRITTEN_OVER_SECONDS = 120.0


@dataclass(frozen=True)
class SavedState:
    folder: Path
    step: int


def newest(saved: Iterable[Mapping[str, Any]]) -> SavedState | None:
    """Of the `saved` events the state of the highest step that still lies there whole. One that another run of the
    same name has written over since is none of this run's."""
    found = [state for event in saved if event.get("what") == "state" and (state := _state(event))]
    return max(found, key=lambda state: state.step, default=None)


def _state(event: Mapping[str, Any]) -> SavedState | None:
    folder = Path(str(event.get("file")))
    file = folder / TRAIN_STATE
    try:
        step = int(json.loads(file.read_text(encoding="utf-8"))["current_step"])
        later = file.stat().st_mtime - float(event.get("time") or 0)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return SavedState(folder, step) if step == event.get("step") and later < WRITTEN_OVER_SECONDS else None
