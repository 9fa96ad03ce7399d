"""Changing a parameter changes what it should, and only that: one table of all parameters in `rows_*.py`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import acting
import pytest
import scene as scenes
from acting import Row
from keeping import models_kept
from observing import observe
from surfaces import SURFACES

from sd_scripts.config.train_config import all_parameters

pytestmark = pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")

ROWS = acting.rows()
Look = Callable[[Mapping[str, Any]], dict[str, str]]


@pytest.fixture(scope="module")
def look(tiny_model: Path, tiny_sdxl: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Look]:
    """Settings over those of the scene -> what is seen on each surface; each looked at once."""
    scene = scenes.make(tmp_path_factory.mktemp("surfaces") / "scene", tiny_model)
    (scene.root / "sdxl").symlink_to(tiny_sdxl)
    known: dict[str, dict[str, str]] = {}

    def seen(settings: Mapping[str, Any]) -> dict[str, str]:
        full = scene.base() | {key: scene.filled(value) for key, value in settings.items()}
        return known.setdefault(json.dumps(full, sort_keys=True), {}) or _seen(full)

    def _seen(full: dict[str, Any]) -> dict[str, str]:
        known[json.dumps(full, sort_keys=True)] = found = observe(scene, full, SURFACES)
        return found

    with models_kept():
        scenes.leave_behind(scene, observe)
        yield seen


def test_every_parameter_has_a_row() -> None:
    missing = sorted(all_parameters().keys() - ROWS.keys())
    assert not missing, (
        f'{", ".join(missing)}: add a row to a rows_*.py beside this file, `"key": Row(other value, '
        '"surfaces that change", {what must be set beside it})`; surfaces are the functions in surfaces.py'
    )
    assert not sorted(ROWS.keys() - all_parameters().keys()), "rows of parameters that do not exist"


@pytest.mark.parametrize(("key", "row"), ROWS.items(), ids=ROWS.keys())
def test_it_changes_what_it_should_and_nothing_else(look: Look, key: str, row: Row) -> None:
    before, after = look(row.beside), look({**row.beside, key: row.value})
    if "refused" in after:
        assert row.changes == "refused", after["refused"]
        return
    changed = {name for name in after if before[name] != after[name]}
    expected = set(row.changes.split())
    assert changed - {"metadata"} == expected - {"metadata"}
    assert changed >= expected
