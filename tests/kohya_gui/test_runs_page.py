"""What the routes of the runs page answer: the list, a comparison, notes and deletions."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from kohya_gui import live
from kohya_gui.runs import machine
from kohya_gui.runs.compare import differing
from kohya_gui.runs.listing import Listing
from kohya_gui.runs.store import RunStore
from kohya_gui.runs.supervisor import Supervisor
from kohya_gui.tensorboard import TensorBoard

OURS = {"x-live": "1"}
DONE = ({"kind": "step", "step": 1, "loss": 0.5, "lr": {}}, {"kind": "state", "state": "done"})


@pytest.fixture
def client(store: RunStore, supervisor: Supervisor) -> Iterator[TestClient]:
    server = FastAPI(routes=live.router(store, supervisor, TensorBoard()).routes)
    server.__dict__.update(auth=None, auth_dependency=None, tokens={}, cookie_id="id")
    with TestClient(server) as found:
        yield found


@pytest.fixture
def trained(store: RunStore) -> Callable[..., str]:
    """A finished run with settings."""

    def make(name: str = "teapot", saved: tuple[Path, ...] = (), **settings: Any) -> str:
        run = store.create(name, settings)
        events = [{"kind": "saved", "step": 1, "file": str(file), "what": "model"} for file in saved]
        lines = [json.dumps({"time": time.time(), **event}) for event in (*DONE[:1], *events, *DONE[1:])]
        store.folder(run).events.write_text("\n".join(lines) + "\n")
        return run

    return make


def test_only_what_changed_is_sent_again(store: RunStore, supervisor: Supervisor, trained: Callable[..., str]) -> None:
    listing = Listing(supervisor)
    runs = [trained(), trained()]
    first = listing.since("", -1)
    assert [line["id"] for line in first["lines"]] == first["order"] and set(first["order"]) == set(runs)
    listing.stale()
    same = listing.since(first["token"], first["serial"])
    assert (same["lines"], "order" in same) == ([], False)
    store.note(runs[0], tags=("new",))
    listing.stale()
    later = listing.since(first["token"], first["serial"])
    assert [line["tags"] for line in later["lines"]] == [("new",)] and "order" not in later
    assert len(listing.since("token of an earlier app", later["serial"])["lines"]) == 2


def test_the_list_is_made_once_for_many_browsers(supervisor: Supervisor, trained: Callable[..., str]) -> None:
    listing = Listing(supervisor)
    listing.since("", -1)
    trained()
    assert listing.since("", -1)["order"] == []


def test_name_tags_and_notes_are_kept_with_the_run(
    client: TestClient, store: RunStore, trained: Callable[..., str]
) -> None:
    run = trained()
    asked = {"tags": [" good ", "", "good", "blue"], "notes": "A note."}
    assert client.post(f"/live/runs/{run}/note", json=asked, headers=OURS).status_code == 200
    line = client.get("/live/list").json()["lines"][0]
    assert (line["tags"], line["notes"]) == (["good", "blue"], "A note.")
    assert json.loads((store.root / run / "run.json").read_text())["tags"] == ["good", "blue"]
    client.post(f"/live/runs/{run}/note", json={"notes": "", "name": " another "}, headers=OURS)
    assert (store.entry(run).tags, store.entry(run).name) == (("good", "blue"), "another")
    client.post(f"/live/runs/{run}/note", json={"name": " "}, headers=OURS)
    assert client.get("/live/list").json()["lines"][0]["name"] == "another"


@pytest.mark.parametrize(
    "path", ["do/pause", "do/resume", "do/duplicate", "do/up", "change", "secrets", "note", "delete"]
)
def test_another_sites_page_can_do_nothing(client: TestClient, trained: Callable[..., str], path: str) -> None:
    assert client.post(f"/live/runs/{trained()}/{path}", json={}).status_code == 403


@pytest.mark.parametrize(("path", "body", "sentence"), [
    ("do/pause", None, "{run} is not running any more."),
    ("do/cancel", None, "{run} does not wait in the queue any more."),
    ("do/up", None, "{run} does not wait in the queue any more."),
    ("do/resume", None, "{run} can't be resumed, because it is done; only one that broke off can."),
    ("change", {"rate_factor": 0.5}, "{run} is not running any more."),
    ("change", {"rate_factor": "x"}, "rate_factor: 'x' must be a number above 0 and at most 1000, such as 0.5."),
])  # fmt: skip
def test_what_can_not_be_done_is_said(
    client: TestClient, trained: Callable[..., str], path: str, body: Any, sentence: str
) -> None:
    run = trained()
    answer = client.post(f"/live/runs/{run}/{path}", json=body, headers=OURS)
    assert (answer.status_code, answer.json()) == (409, {"error": sentence.format(run=run)})


def test_an_action_that_is_none_is_not_found(client: TestClient, trained: Callable[..., str]) -> None:
    assert client.post(f"/live/runs/{trained()}/do/explode", headers=OURS).status_code == 404
    assert client.post("/live/runs/nothing/do/pause", headers=OURS).status_code == 404


# Comparison


def test_only_what_differs_is_compared_and_defaults_are_named() -> None:
    rows = differing([
        {"learning_rate": 1e-4, "network_dim": 8, "run_dir": "a", "output_name": "a"},
        {"learning_rate": 5e-5, "network_dim": 8, "run_dir": "b", "flip_aug": True},
    ])  # fmt: skip
    assert [(row["key"], row["values"]) for row in rows] == [
        ("flip_aug", [False, True]),
        ("learning_rate", [1e-4, 5e-5]),
    ]


def test_runs_are_compared_by_curves_and_samples_too(client: TestClient, trained: Callable[..., str]) -> None:
    runs = [trained(seed=1), trained(seed=2)]
    found = client.get("/live/compare", params=[("run", run) for run in runs]).json()
    assert [run["id"] for run in found["runs"]] == runs
    assert found["settings"] == [{"key": "seed", "label": "Seed", "values": [1, 2]}]
    assert [curve["points"][0][:2] for curve in found["curves"]] == [[1, 0.5], [1, 0.5]]
    answer = client.get("/live/compare", params={"run": runs[0]})
    assert (answer.status_code, answer.json()["error"]) == (409, "1 can't be compared; choose 2 to 8 runs.")


# Deletion


def test_a_run_goes_with_its_folder_and_its_files_only_if_asked(
    client: TestClient, store: RunStore, trained: Callable[..., str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    file, state = out / "teapot.safetensors", out / "teapot-state"
    state.mkdir()
    (state / "train_state.json").write_text("{}")
    for with_files in (False, True):
        file.write_bytes(b"x" * 1000)
        run = trained(saved=(file, state), output_dir=str(out))
        assert client.get(f"/live/runs/{run}/files").json() == {
            "files": ["teapot-state", "teapot.safetensors"],
            "bytes": 1002,
        }
        client.post(f"/live/runs/{run}/delete?files={str(with_files).lower()}", headers=OURS)
        assert not (store.root / run).exists() and store.ids() == []
        assert (file.exists(), state.exists()) == (not with_files, not with_files)


def test_files_that_are_not_the_runs_own_are_never_deleted(
    client: TestClient, trained: Callable[..., str], tmp_path: Path
) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere.safetensors"
    out.mkdir()
    shared, note = out / "shared.safetensors", out / "note.txt"
    for file in (elsewhere, shared, note):
        file.touch()
    trained(saved=(shared,), output_dir=str(out))
    run = trained(saved=(elsewhere, shared, note, out), output_dir=str(out))
    assert client.get(f"/live/runs/{run}/files").json()["files"] == []
    client.post(f"/live/runs/{run}/delete?files=true", headers=OURS)
    assert elsewhere.exists() and shared.exists() and note.exists()


def test_only_what_the_run_has_trained_can_be_taken_away(
    client: TestClient, store: RunStore, trained: Callable[..., str], tmp_path: Path
) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere.safetensors"
    out.mkdir()
    file, note = out / "teapot.safetensors", out / "note.txt"
    for each in (file, elsewhere, note):
        each.write_bytes(b"weights")
    run = trained(saved=(file, elsewhere, note), output_dir=str(out))
    answer = client.get(f"/live/runs/{run}/trained/teapot.safetensors")
    assert (answer.content, answer.headers["content-disposition"]) == (
        b"weights", 'attachment; filename="teapot.safetensors"',
    )  # fmt: skip
    for name in ("elsewhere.safetensors", "note.txt", "missing.safetensors", "config.toml"):
        assert client.get(f"/live/runs/{run}/trained/{name}").status_code == 404
    shown = client.get(f"/live/runs/{run}/state").json()["files"]
    assert {"file": str(file), "step": 1, "what": "model", "bytes": 7, "replaced": False} in shown
    os.utime(file, (time.time() + 600, time.time() + 600))
    assert client.get(f"/live/runs/{run}/state").json()["files"][-1]["replaced"], "by a later run of the same name"
    assert client.get(f"/live/runs/{run}/console.log").status_code == 404
    store.folder(run).console.write_text("step 1\n")
    assert client.get(f"/live/runs/{run}/console.log").text == "step 1\n"


def test_a_run_that_waits_is_not_deleted(client: TestClient, store: RunStore) -> None:
    run = store.create("x", {}, status="queued")
    answer = client.post(f"/live/runs/{run}/delete", headers=OURS)
    assert answer.json() == {"error": f"{run} is waiting or going on; cancel or stop it, then delete it."}
    assert (store.root / run).exists()


# The machine


def test_what_gpus_tell_is_read() -> None:
    said = "NVIDIA H200, 37, 1024, 143771, 41\nOld one, [N/A], [N/A], [N/A], 60\nnonsense\n"
    assert list(machine.gpus(said)) == [
        {"name": "NVIDIA H200", "load": 37.0, "memory": {"used": 1024 << 20, "total": 143771 << 20}, "degrees": 41.0},
        {"name": "Old one", "load": None, "memory": None, "degrees": 60.0},
    ]


def test_the_load_is_that_since_the_last_look_whichever_thread_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([(10.0, 100.0), (15.0, 110.0), (15.0, 110.0)])
    monkeypatch.setattr(machine, "_processor_seconds", lambda: next(seconds))
    monkeypatch.setattr(machine, "FRESH_SECONDS", -1.0)
    looked = machine.Machine()
    with ThreadPoolExecutor(1) as other:
        assert other.submit(looked.load).result()["cpu"] == pytest.approx(50.0)
    assert looked.load()["cpu"] == pytest.approx(50.0), "no time has passed"


def test_the_machine_is_looked_at_no_more_than_needed() -> None:
    found = machine.Machine()
    first = found.load()
    assert 0 <= first["cpu"] <= 100 and 0 < first["memory"]["used"] < first["memory"]["total"]
    assert found.load() == first
