"""Choosing a path: what is listed for whom, and that nothing outside the allowed folders ever is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from kohya_gui import access, places
from sd_scripts.config.train_config import all_parameters
from sd_scripts.errors import UserError
from sd_scripts.tools import TOOLS


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that may be read, of which one part may be written to and one is closed, beside one that is not open."""
    inside = tmp_path.resolve() / "mine"
    for name in ("models", "out", "closed", "cats", ".hidden"):
        (inside / name).mkdir(parents=True)
    for name in ("a.safetensors", "B.CKPT", "notes.md", "set.toml", "cat.png"):
        (inside / name).touch()
    (inside / "models" / "model_index.json").touch()
    (tmp_path / "other").mkdir()
    (inside / "way out").symlink_to(tmp_path / "other")
    (inside / "secret.pt").symlink_to("/etc/passwd")
    monkeypatch.setattr(access, "_rules", access.Rules((inside,), (inside / "out",)).without(inside / "closed"))
    return inside


@pytest.fixture
def ask() -> Callable[..., Any]:
    made = FastAPI(routes=places.router(lambda path: path).routes)
    made.__dict__.update(auth=None, auth_dependency=None, tokens={}, cookie_id="id")
    client = TestClient(made)
    return lambda path, **more: client.get("/live/places", params={"path": str(path), **more})


def names(found: dict[str, Any], what: str) -> list[str]:
    return [row["name"] for row in found[what]]


def test_a_folder_shows_its_folders_and_the_files_that_are_wanted(mine: Path, ask: Callable[..., Any]) -> None:
    found = ask(mine, kind="weights").json()
    assert names(found, "folders") == ["cats", "models", "out"]
    assert names(found, "files") == ["B.CKPT", "a.safetensors"]
    assert found["parent"] == "" and found["pictures"] == 1
    assert names(ask(mine, kind="toml").json(), "files") == ["set.toml"]
    assert names(ask(mine, kind="folder").json(), "files") == []
    assert "notes.md" in names(ask(mine, kind="toml", every=True).json(), "files")
    assert names(ask(mine, kind="weights", words="ca").json(), "folders") == ["cats"]


def test_a_folder_that_is_a_model_is_chosen_as_one(mine: Path, ask: Callable[..., Any]) -> None:
    assert ask(mine / "models", kind="weights").json()["is_model"]
    assert not ask(mine / "cats", kind="weights").json()["is_model"]


def test_where_the_path_ends_nowhere_the_nearest_folder_is_shown(mine: Path, ask: Callable[..., Any]) -> None:
    assert ask(mine / "cats" / "not" / "there").json()["path"] == str(mine / "cats")
    assert ask(mine / "a.safetensors").json()["path"] == str(mine)


def test_it_is_said_where_may_be_written(mine: Path, ask: Callable[..., Any]) -> None:
    assert ask(mine / "out", write=True).json()["may_write"]
    assert not ask(mine, write=True).json()["may_write"]


def test_one_begins_at_what_is_allowed(mine: Path, ask: Callable[..., Any]) -> None:
    assert names(ask("").json(), "folders") == [str(mine)]


@pytest.mark.parametrize("path", ["/etc", "{mine}/closed", "{mine}/way out", "{mine}/../other", "..", "/", "a\0b"])
def test_nothing_else_is_shown(mine: Path, ask: Callable[..., Any], path: str) -> None:
    answer = ask(path.format(mine=mine))
    assert answer.status_code == 409 and set(answer.json()) == {"error", "opens"}


def test_only_the_apps_own_page_can_open_a_folder_and_only_where_nobody_else_gets_in(mine: Path) -> None:
    def refuse(path: str) -> str:
        raise UserError("Others can reach the app.")

    made = FastAPI(routes=places.router(refuse).routes)
    made.__dict__.update(auth=None, auth_dependency=None, tokens={}, cookie_id="id")
    client = TestClient(made)
    assert client.post("/live/places/allow?path=/etc").status_code == 403
    answer = client.post("/live/places/allow?path=/etc", headers={"x-live": "1"})
    assert answer.status_code == 409 and answer.json() == {"error": "Others can reach the app."}


def test_every_path_of_a_form_can_be_chosen() -> None:
    known = {**all_parameters(), **{p.key: p for tool in TOOLS.values() for p in tool.parameters.values()}}
    assert places.OTHERS.keys() <= known.keys()
    wanted = {key: places.wanted(parameter) for key, parameter in known.items() if places.wanted(parameter)}
    assert wanted["train_data_dir"] == "wants:folder"
    assert wanted["output_dir"] == "wants:folder:write"
    assert wanted["dataset_config"] == "wants:toml"
    assert wanted["base_weights"] == "wants:weights:several"
    assert wanted["save_to"] == "wants:weights:write"
    assert "learning_rate" not in wanted
