"""A runs folder, and engines of our own making in it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from kohya_gui import access, dataset_page
from kohya_gui.runs.store import RunStore
from kohya_gui.runs.supervisor import Supervisor
from sd_scripts.events import RunFolder

FAKE_ENGINE = (sys.executable, str(Path(__file__).with_name("fake_engine.py")))


@pytest.fixture(autouse=True)
def places_are_open(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The app may go where the tests put their files."""
    before = access.rules()
    access.use(access.Rules.at_home([tmp_path_factory.getbasetemp()]))
    yield
    access.use(before)


@pytest.fixture
def server() -> FastAPI:
    """The routes of the dataset page, where nobody has to sign in."""
    made = FastAPI(routes=dataset_page.router().routes)
    made.__dict__.update(auth=None, auth_dependency=None, tokens={}, cookie_id="id")
    return made


@pytest.fixture
def client(server: FastAPI) -> TestClient:
    return TestClient(server)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


@pytest.fixture
def supervisor(store: RunStore) -> Supervisor:
    """With time for an engine on a busy machine to hear that it shall stop."""
    return Supervisor(store, FAKE_ENGINE, patience=(60.0, 60.0))


@pytest.fixture
def write_run(store: RunStore) -> Callable[..., str]:
    """Makes a run folder in which these events have happened."""

    def write(*events: dict[str, Any], name: str = "a-run") -> str:
        folder = RunFolder(store.root / name).create()
        folder.config.touch()
        with folder.events.open("a", encoding="utf-8") as file:
            for number, event in enumerate(events):
                file.write(json.dumps({"time": 1000.0 + number, **event}) + "\n")
        return name

    return write


@pytest.fixture
def wait_for() -> Callable[[Callable[[], Any]], Any]:
    """Waits until the condition holds, and returns what it returned."""

    def wait(condition: Callable[[], Any], seconds: float = 60) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = condition()
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError(f"{condition} did not come true within {seconds} seconds")

    return wait
