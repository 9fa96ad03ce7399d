"""Several runs side by side: in what their settings differ, their curves, and their samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sd_scripts.config.load import parameters, plain
from sd_scripts.errors import UserError

from .store import RunStore

MOST_RUNS = 8
SHOWN = ("id", "name", "created", "state", "step", "total", "loss", "elapsed")
OWN = ("run_dir", "output_name", "resume")
"""Settings in which runs always differ and that say nothing."""


class CannotCompare(UserError):
    """Too few or too many runs."""


def compare(store: RunStore, ids: Sequence[str]) -> dict[str, Any]:
    """Raises CannotCompare, NoSuchRun."""
    ids = list(dict.fromkeys(ids))
    if not 2 <= len(ids) <= MOST_RUNS:
        raise CannotCompare(f"{len(ids)} can't be compared; choose 2 to {MOST_RUNS} runs.")
    runs = [store.describe(run_id) for run_id in ids]
    return {
        "runs": [
            {key: run[key] for key in ("id", "name", "created", "state", "step", "total", "loss", "elapsed")}
            for run in runs
        ],
        "settings": differing([store.settings(run_id) for run_id in ids]),
        "curves": [store.reader(run_id).curve_since(-1, 0) for run_id in ids],
        "samples": [list(store.reader(run_id).samples.values()) for run_id in ids],
    }


def differing(settings: Sequence[Mapping[str, object]]) -> list[dict[str, Any]]:
    """Keys whose values are not the same everywhere, in the order of the form; what is not given is its default."""
    given = {key for flat in settings for key in flat}
    known = parameters()
    order = [key for key in known if key in given] + sorted(given - known.keys())
    rows = []
    for key in order:
        default = plain(known[key].default) if key in known else None
        values = [plain(flat.get(key, default)) for flat in settings]
        if key not in OWN and any(value != values[0] for value in values):
            rows.append({"key": key, "label": known[key].label if key in known else key, "values": values})
    return rows
