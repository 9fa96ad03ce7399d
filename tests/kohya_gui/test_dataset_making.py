"""Uploads, copies for training and dataset files: bounded, whole, and never over what is there."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from kohya_gui import access, dataset_making
from sd_scripts import plan
from sd_scripts.config import load

MEANT = {"x-live": "1"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = (tmp_path / "datasets").resolve()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(dataset_making, "DATASETS", place)
    monkeypatch.setattr(access, "_rules", access.Rules((tmp_path.resolve(),), (place,)))
    return place


def png(size: tuple[int, int] = (32, 32)) -> bytes:
    into = io.BytesIO()
    Image.new("RGB", size, (9, 90, 200)).save(into, "PNG")
    return into.getvalue()


def upload(
    client: TestClient, name: str, content: bytes, folder: str = "my cats", headers: dict[str, str] = MEANT
) -> Any:
    query = {"name": name, "folder": folder}
    return client.post("/live/dataset/upload", params=query, content=content, headers=headers)


def error(answer: Any) -> str:
    assert answer.status_code == 409, answer.text
    return str(answer.json()["error"])


def test_pictures_and_captions_become_a_folder(client: TestClient, root: Path) -> None:
    answer = upload(client, "猫 1.png", png())
    assert answer.json() == {"folder": str(root / "my cats")}
    upload(client, "猫 1.txt", "a 猫".encode())
    assert (root / "my cats" / "猫 1.png").read_bytes() == png()
    found = client.post("/live/dataset/items", json={"folder": str(root / "my cats")}).json()
    assert [(item["name"], item["caption"]) for item in found["items"]] == [("猫 1.png", "a 猫")]


@pytest.mark.parametrize(("name", "content", "sentence"), [
    ("a.py", b"print()", "a.py is neither an image nor a caption; there is: "),
    ("../a.png", png(), "'../a.png' can't be the name of a file; rename it."),
    (".a.png", png(), "'.a.png' can't be the name of a file; rename it."),
    ("a.png", b"no picture", "a.png is broken or no image."),
    ("a.txt", b"\xff\xfe", "The caption a.txt is not UTF-8 text; save it as UTF-8."),
])  # fmt: skip
def test_what_is_not_taken_is_said_and_leaves_nothing(
    client: TestClient, root: Path, name: str, content: bytes, sentence: str
) -> None:
    assert error(upload(client, name, content)).startswith(sentence)
    assert not (root / "my cats").exists() or list((root / "my cats").iterdir()) == []


@pytest.mark.parametrize("folder", ["", " ", "..", ".hidden", "a/b", "a\\b", "x" * 200, "a\nb\x00"])
def test_folders_have_plain_names(client: TestClient, root: Path, folder: str) -> None:
    assert "can't be the name of a folder" in error(upload(client, "a.png", png(), folder))
    assert not root.exists()


def test_nothing_is_uploaded_over_a_file(client: TestClient, root: Path) -> None:
    upload(client, "a.png", png())
    assert (
        error(upload(client, "a.png", png((8, 8)))) == "There is already a a.png in my cats; nothing was written over."
    )
    assert (root / "my cats" / "a.png").read_bytes() == png()


def test_uploads_are_bounded(client: TestClient, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_making, "LARGEST_FILE", 1 << 20)
    assert error(upload(client, "a.txt", b"x" * (1 << 20) + b"y")) == "a.txt is larger than 1 MB; make it smaller."
    monkeypatch.setattr(dataset_making, "MOST_FILES", 2)
    upload(client, "a.txt", b"1")
    upload(client, "b.txt", b"2")
    assert error(upload(client, "c.txt", b"3")) == "The folder my cats holds 2 files already; begin another."
    monkeypatch.setattr(dataset_making, "MOST_FILES", 9)
    monkeypatch.setattr(dataset_making, "FULLEST_FOLDER", 2)
    assert "begin another." in error(upload(client, "c.txt", b"3"))
    assert sorted(path.name for path in (root / "my cats").iterdir()) == ["a.txt", "b.txt"]


def test_another_site_s_page_can_upload_nothing(client: TestClient, root: Path) -> None:
    assert upload(client, "a.png", png(), headers={}).status_code == 403
    assert not root.exists()


def test_without_a_login_nothing_is_made(client: TestClient, server: Any, root: Path) -> None:
    server.__dict__.update(auth={"me": "secret"})
    assert upload(client, "a.png", png()).status_code == 401
    assert client.get("/live/dataset/mask", params={"masks": "x", "name": "y"}).status_code == 401
    assert client.get("/live/dataset/balance", params={"path": "x"}).status_code == 401


def folders(tmp_path: Path) -> Path:
    for name, count in {"cats": 4, "dogs": 1}.items():
        (tmp_path / "all" / name).mkdir(parents=True)
        for number in range(count):
            (tmp_path / "all" / name / f"{number}.png").write_bytes(png((64, 64)))
    return tmp_path / "all"


def test_a_folder_is_copied_into_the_form_that_training_reads(client: TestClient, root: Path, tmp_path: Path) -> None:
    parent = folders(tmp_path)
    parts = [
        {"folder": str(parent / "cats"), "repeats": 5, "words": "sks cat"},
        {"folder": str(parent / "dogs"), "repeats": 1, "words": "cat", "is_reg": True},
    ]
    made = client.post("/live/dataset/prepare", json={"name": "set", "parts": parts}, headers=MEANT).json()
    assert made == {"train_data_dir": str(root / "set" / "img"), "reg_data_dir": str(root / "set" / "reg"), "files": 5}
    settings = {
        "train_data_dir": made["train_data_dir"],
        "reg_data_dir": made["reg_data_dir"],
        "resolution": "64",
        "min_bucket_reso": 64,
    }
    assert plan.make(load.from_flat(settings).unwrap()).num_train_images == 20
    again = client.post("/live/dataset/prepare", json={"name": "set", "parts": parts}, headers=MEANT)
    assert "There is already a folder" in error(again)


def test_folders_elsewhere_are_not_copied(client: TestClient, root: Path) -> None:
    parts = [{"folder": "/etc", "repeats": 1, "words": "x"}]
    answer = client.post("/live/dataset/prepare", json={"name": "set", "parts": parts}, headers=MEANT)
    assert "lies outside the folders that the app may read" in error(answer)


def test_folders_are_balanced_by_a_dataset_file(client: TestClient, root: Path, tmp_path: Path) -> None:
    parent = folders(tmp_path)
    rows = client.get("/live/dataset/balance", params={"path": str(parent)}).json()["folders"]
    assert [(row["name"], row["images"], row["suggested"]) for row in rows] == [("cats", 4, 1), ("dogs", 1, 4)]
    wanted = {"folder": str(parent), "name": "even", "repeats": {"cats": 2, "dogs": 8}}
    made = client.post("/live/dataset/balance", json=wanted, headers=MEANT).json()
    assert made == {"dataset_config": str(root / "even.toml")}
    settings = {"dataset_config": made["dataset_config"], "resolution": "64", "min_bucket_reso": 64}
    assert plan.make(load.from_flat(settings).unwrap()).num_train_images == 16
    assert "There is already a file" in error(client.post("/live/dataset/balance", json=wanted, headers=MEANT))
    wanted = {**wanted, "name": "odd", "repeats": {"cats": 0}}
    said = error(client.post("/live/dataset/balance", json=wanted, headers=MEANT))
    assert said == "The repeats of cats are not a number from 1 to 10000."


def test_masks_are_found_by_the_name_of_their_picture(client: TestClient, root: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    Image.new("L", (64, 32), 128).save(masks / "a.png")
    answer = client.get("/live/dataset/mask", params={"masks": str(masks), "name": "a.jpg"})
    assert Image.open(io.BytesIO(answer.content)).convert("L").getpixel((5, 5)) in range(120, 136)
    for name in ("b.jpg", "../a/b.png"):
        assert client.get("/live/dataset/mask", params={"masks": str(masks), "name": name}).status_code == 404
    assert client.get("/live/dataset/mask", params={"masks": "/etc", "name": "passwd"}).status_code == 404
