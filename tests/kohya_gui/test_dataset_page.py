"""The routes of the dataset page: what they give out, what they write, and whom they refuse."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from kohya_gui import access, pictures

MEANT = {"x-live": "1"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "sets" / "cats"
    place.mkdir(parents=True)
    monkeypatch.setattr(
        access, "_rules", access.Rules(((tmp_path / "sets").resolve(),), ((tmp_path / "sets").resolve(),))
    )
    for number in range(3):
        Image.new("RGB", (640, 320), (90 * number, 9, 9)).save(place / f"{number}.png")
        (place / f"{number}.txt").write_text(f"cat, number {number}", encoding="utf-8")
    (place / "notes.md").write_text("private", encoding="utf-8")
    return place


def post(client: TestClient, what: str, folder: Path, **more: Any) -> Any:
    return client.post(f"/live/dataset/{what}", json={"folder": str(folder), **more}, headers=MEANT)


def test_a_page_of_the_gallery(client: TestClient, folder: Path) -> None:
    found = client.post("/live/dataset/items?offset=1&limit=1", json={"folder": str(folder)}).json()
    assert (found["all"], found["found"], found["offset"]) == (3, 3, 1)
    (item,) = found["items"]
    assert (item["name"], item["size"], item["caption"], item["problem"]) == ("1.png", [640, 320], "cat, number 1", "")


def test_a_picture_is_sent_small(client: TestClient, folder: Path) -> None:
    answer = client.get("/live/dataset/picture", params={"folder": str(folder), "name": "0.png", "side": 64})
    assert answer.headers["content-type"] == "image/webp" and "immutable" in answer.headers["cache-control"]
    assert Image.open(io.BytesIO(answer.content)).size == (64, 32)


@pytest.mark.parametrize("name", ["notes.md", "0.txt", "../cats/0.png", "gone.png", ".hidden.png"])
def test_only_pictures_are_sent(client: TestClient, folder: Path, name: str) -> None:
    answer = client.get("/live/dataset/picture", params={"folder": str(folder), "name": name})
    assert answer.status_code == 404


def test_turned_pictures_are_sent_as_they_are_looked_at(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (400, 200)).save(tmp_path / "a.jpg", exif=exif)
    assert Image.open(io.BytesIO(pictures.small(tmp_path / "a.jpg", 100))).size == (50, 100)


def test_an_edit_is_tried_applied_and_undone(client: TestClient, folder: Path) -> None:
    edit = {"kind": "replace", "settings": {"find": "cat", "by": "dog"}, "words": "number 1"}
    tried = post(client, "try", folder, **edit).json()
    assert (tried["looked_at"], tried["changed"]) == (1, 1)
    assert tried["examples"] == [{"name": "1.png", "before": "cat, number 1", "after": "dog, number 1"}]
    assert (folder / "1.txt").read_text(encoding="utf-8") == "cat, number 1"
    done = post(client, "apply", folder, **edit).json()
    assert done["history"] == {"undo": "Replace 'cat' by 'dog'", "redo": None}
    assert (folder / "1.txt").read_text(encoding="utf-8") == "dog, number 1"
    assert client.get("/live/dataset/tags", params={"folder": str(folder)}).json()["tags"][:2] == [
        ["cat", 2],
        ["dog", 1],
    ]
    undone = post(client, "undo", folder).json()
    assert (undone["changed"], undone["history"]["redo"]) == (1, "Replace 'cat' by 'dog'")
    assert (folder / "1.txt").read_text(encoding="utf-8") == "cat, number 1"
    post(client, "redo", folder)
    assert (folder / "1.txt").read_text(encoding="utf-8") == "dog, number 1"


def test_a_caption_by_hand_and_one_that_was_changed_meanwhile(client: TestClient, folder: Path) -> None:
    assert post(client, "caption", folder, name="0.png", text="new", seen="cat, number 0").status_code == 200
    answer = post(client, "caption", folder, name="0.png", text="newer", seen="cat, number 0")
    assert answer.status_code == 409 and "was changed elsewhere in the meantime" in answer.json()["error"]
    assert (folder / "0.txt").read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize(("what", "more", "sentence"), [
    ("try", {"kind": "replace", "settings": {"find": "("  , "as_pattern": True}}, "The pattern '(' can't be used"),
    ("try", {"kind": "shout"}, "There is no edit 'shout'"),
    ("undo", {}, "There is nothing to undo in this folder."),
    ("undo", {"ending": ".py"}, "Captions don't end in '.py'; there is: .txt, .caption, .cap."),
])  # fmt: skip
def test_what_can_t_be_done_is_said(
    client: TestClient, folder: Path, what: str, more: dict[str, Any], sentence: str
) -> None:
    answer = post(client, what, folder, **more)
    assert answer.status_code == 409 and answer.json()["error"].startswith(sentence)


def test_folders_are_looked_into_where_that_is_allowed(client: TestClient, folder: Path) -> None:
    found = client.get("/live/dataset/folders", params={"path": str(folder.parent)}).json()
    assert [(inner["name"], inner["images"]) for inner in found["folders"]] == [("cats", 3)]
    assert found["images"] == 0 and found["parent"] == ""
    assert client.get("/live/dataset/folders", params={"path": str(folder)}).json()["parent"] == str(folder.parent)
    begin = client.get("/live/dataset/folders", params={"path": ""}).json()
    assert [inner["path"] for inner in begin["folders"]] == [str(folder.parent)]


@pytest.mark.parametrize("path", ["/etc", "..", "/"])
def test_other_folders_are_not(client: TestClient, folder: Path, path: str) -> None:
    for answer in (
        client.get("/live/dataset/folders", params={"path": path}),
        client.post("/live/dataset/items", json={"folder": path}),
        client.get("/live/dataset/tags", params={"folder": path}),
        post(client, "apply", Path(path), kind="dedupe_tags"),
    ):
        assert answer.status_code == 409 and "lies outside the folders that the app may" in answer.json()["error"]
    assert client.get("/live/dataset/picture", params={"folder": path, "name": "x.png"}).status_code == 404


def test_where_writing_is_not_allowed_captions_can_only_be_read(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_rules", access.Rules((folder.resolve(),), ()))
    assert client.post("/live/dataset/items", json={"folder": str(folder)}).status_code == 200
    answer = post(client, "caption", folder, name="0.png", text="x", seen="cat, number 0")
    assert answer.status_code == 409 and "may write to" in answer.json()["error"]
    assert (folder / "0.txt").read_text(encoding="utf-8") == "cat, number 0"


def test_a_link_out_of_the_folder_is_not_followed(client: TestClient, folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    assert client.post("/live/dataset/items", json={"folder": str(folder)}).json()["all"] == 3
    answer = client.get("/live/dataset/picture", params={"folder": str(folder), "name": "link.png"})
    assert answer.status_code == 404


@pytest.mark.parametrize("what", ["caption", "try", "apply", "undo", "redo"])
def test_another_site_s_page_can_change_nothing(client: TestClient, folder: Path, what: str) -> None:
    body = {"folder": str(folder), "kind": "dedupe_tags", "name": "0.png", "text": "x", "seen": "cat, number 0"}
    assert client.post(f"/live/dataset/{what}", json=body).status_code in (403, 422)
    assert (folder / "0.txt").read_text(encoding="utf-8") == "cat, number 0"


@pytest.mark.parametrize("path", ["folders?path=", "tags?folder=x", "history?folder=x", "picture?folder=x&name=y"])
def test_where_a_login_is_asked_for_these_routes_ask_too(server: Any, client: TestClient, path: str) -> None:
    server.__dict__.update(auth={"me": "secret"})
    assert client.get(f"/live/dataset/{path}").status_code == 401
