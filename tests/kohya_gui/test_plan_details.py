"""The pictures of a plan as the page shows them are those that the trainer will see."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image, ImageDraw

from kohya_gui import access, plan_details, plan_view
from sd_scripts.config import load

SETTINGS = {"resolution": "64", "min_bucket_reso": 32, "bucket_reso_steps": 16, "max_train_epochs": 1, "seed": 1}
LONG = "cat " * 74 + "dog bird"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(access, "_rules", access.Rules((tmp_path.resolve(),), ()))
    place = tmp_path / "images" / "3_cat"
    place.mkdir(parents=True)
    for name, size in {"a": (128, 128), "b": (300, 40), "c": (20, 20), "d": (96, 64)}.items():
        picture = Image.new("RGB", size, (200, 30, 40))
        ImageDraw.Draw(picture).rectangle((0, 0, size[0] // 2, size[1] // 2), fill=(10, 220, 90))
        picture.save(place / f"{name}.png")
    (place / "e.png").write_bytes((place / "a.png").read_bytes())
    for name, text in {"a": "a cat", "b": LONG, "c": "", "d": "猫", "e": "a cat"}.items():
        (place / f"{name}.txt").write_text(text, encoding="utf-8")
    return place


@pytest.fixture
def client() -> TestClient:
    server = FastAPI(routes=plan_details.router().routes)
    server.__dict__.update(auth=None, auth_dependency=None, tokens={}, cookie_id="id")
    return TestClient(server)


@pytest.fixture
def planned(folder: Path) -> Callable[..., str]:
    def make(**settings: Any) -> str:
        flat = {**SETTINGS, "train_data_dir": str(folder.parent), **settings}
        config = load.from_flat(flat).unwrap()
        return plan_view.PLANS.keep(plan_view.Planned(config, plan_view.plan.make(config)))

    return make


def test_each_picture_is_told_with_its_caption_and_its_cut(client: TestClient, planned: Callable[..., str]) -> None:
    found = client.get(f"/live/plan/{planned()}/items").json()
    items = {item["name"]: item for item in found["items"]}
    assert found["found"] == 5 and list(items) == [f"3_cat/{name}.png" for name in "abcde"]
    assert items["3_cat/a.png"]["bucket"] == [64, 64] and items["3_cat/a.png"]["cut"] is None
    long = items["3_cat/b.png"]
    assert (long["tokens"], long["caption"][long["cut"] :]) == (76, "bird")
    assert items["3_cat/c.png"]["enlarged"] == pytest.approx(3.2) and items["3_cat/d.png"]["tokens"] == 3
    assert client.get(f"/live/plan/{planned(max_token_length=150)}/items").json()["items"][1]["cut"] is None


def test_what_is_odd_is_counted_and_can_be_looked_at(client: TestClient, planned: Callable[..., str]) -> None:
    name = planned()
    said = client.get(f"/live/plan/{name}/checks").json()
    assert {check["kind"]: check["count"] for check in said["checks"]} == {
        "cut": 1, "empty": 1, "lost": 1, "enlarged": 1, "twins": 2,
    }  # fmt: skip
    assert said["checks"][-1]["words"] == "2 pictures have the same content as another."
    assert said["twins"] == [["3_cat/a.png", "3_cat/e.png"]]
    assert said["checks"][0]["words"] == "1 caption has more than 75 tokens; its end isn't read."
    shown = client.get(f"/live/plan/{name}/items", params={"kind": "twins"}).json()
    assert [item["place"] for item in shown["items"]] == [0, 4]
    assert client.get(f"/live/plan/{name}/items", params={"kind": "nonsense"}).json()["found"] == 0


def test_broken_files_are_listed_in_words(client: TestClient, planned: Callable[..., str], folder: Path) -> None:
    (folder / "bad.png").write_bytes(b"no picture")
    said = client.get(f"/live/plan/{planned()}/checks").json()
    broken = f"The image {folder / 'bad.png'} is broken or no image; replace it or take it out of the folder."
    assert {"stops": True, "words": broken} in said["problems"]


@pytest.mark.parametrize("place", range(5))
def test_a_crop_is_what_the_trainer_sees(client: TestClient, planned: Callable[..., str], place: int) -> None:
    from sd_scripts.data import images

    name = planned()
    answer = client.get(f"/live/plan/{name}/crops/{place}", params={"side": 1600})
    assert answer.headers["content-type"] == "image/webp"
    record = plan_view.PLANS.get(name).records[place]
    trained = images.show(record, None).pixels
    shown = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))
    assert shown.shape == trained.shape == (record.bucket[1], record.bucket[0], 3)
    assert np.abs(shown.astype(int) - trained).mean() < 12  # it was packed with loss


def test_what_a_mask_covers_is_dark(
    client: TestClient, planned: Callable[..., str], folder: Path, tmp_path: Path
) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for name in "abcde":
        with Image.open(folder / f"{name}.png") as picture:
            Image.new("L", picture.size, 0).save(masks / f"{name}.png")
    name = planned(masked_loss=True, conditioning_data_dir=str(masks))
    assert client.get(f"/live/plan/{name}/items").json()["items"][0]["has_mask"]
    dark = Image.open(io.BytesIO(client.get(f"/live/plan/{name}/crops/0").content)).convert("RGB")
    light = Image.open(io.BytesIO(client.get(f"/live/plan/{planned()}/crops/0").content)).convert("RGB")
    assert np.asarray(dark).mean() < 0.4 * np.asarray(light).mean()


def test_only_pictures_of_the_plan_in_allowed_folders_are_given_out(
    client: TestClient, planned: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = planned()
    assert client.get(f"/live/plan/{name}/crops/99").status_code == 404
    assert client.get("/live/plan/nothing/crops/0").status_code == 404
    answer = client.get("/live/plan/nothing/items")
    assert answer.status_code == 409
    assert answer.json() == {"error": "This plan is out of date; change any field of the form, or load the page again."}
    monkeypatch.setattr(access, "_rules", access.Rules((tmp_path / "elsewhere",), ()))
    answer = client.get(f"/live/plan/{name}/crops/0")
    assert answer.status_code == 404 and "lies outside the folders" in answer.json()["error"]


def test_a_picture_that_is_gone_is_said(client: TestClient, planned: Callable[..., str], folder: Path) -> None:
    name = planned()
    (folder / "a.png").unlink()
    answer = client.get(f"/live/plan/{name}/crops/0")
    assert answer.status_code == 404 and "is broken or can't be read" in answer.json()["error"]
