"""The plan before Start: what it takes, and every picture as it is trained."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

expect = pytest.importorskip("playwright.sync_api").expect
PATIENCE = 60_000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures of several shapes, among them a broken one, two that are the same, and a very long caption."""
    from PIL import Image, ImageDraw

    monkeypatch.setenv("HOME", str(tmp_path))
    place = tmp_path / "pictures" / "5_blue teapot"
    place.mkdir(parents=True)
    sizes = [(640, 480), (512, 512), (480, 640), (900, 300), (120, 120), (512, 512)]
    for number, (width, height) in enumerate(sizes):
        picture = Image.new("RGB", (width, height), (30 + 30 * number, 90, 190))
        draw = ImageDraw.Draw(picture)
        draw.ellipse((width // 5, height // 5, width * 4 // 5, height * 4 // 5), fill=(250, 200 - 20 * number, 60))
        draw.rectangle((0, 0, width - 1, height - 1), outline=(255, 255, 255), width=max(4, width // 40))
        picture.save(place / f"{number}.png")
        (place / f"{number}.txt").write_text("a blue teapot on a table, studio light", encoding="utf-8")
    (place / "6.png").write_bytes((place / "1.png").read_bytes())
    (place / "6.txt").write_text("", encoding="utf-8")
    words = ", ".join(f"very long description number {number}" for number in range(14))
    (place / "2.txt").write_text(f"a blue teapot, {words}", encoding="utf-8")
    return place


def test_the_plan_shows_what_will_happen(app: Any, browser_page: Any, folder: Path, shoot: Callable[..., None]) -> None:
    page = browser_page
    settings = {
        "train_data_dir": str(folder.parent), "resolution": "256,256", "max_train_epochs": 4, "min_bucket_reso": 128,
        "max_bucket_reso": 512, "save_every_n_epochs": 1,
    }  # fmt: skip
    app.start(settings=settings)
    page.goto(app.url)
    plan = page.locator("#plan")
    expect(plan).to_contain_text("7 images × 5 repeats = 35 samples", timeout=PATIENCE)
    expect(plan).to_contain_text(re.compile(r"memory\s*about [\d.]+ [MG]B"))
    expect(plan).to_contain_text("4 files of")
    expect(plan).to_contain_text("unknown until the first steps")
    plan.locator("summary", has_text="Folders").click()
    plan.locator("summary", has_text="Sizes").click()
    expect(plan).to_contain_text("5_blue teapot")
    shoot(page, "43-plan")
    plan.get_by_role("button", name="See the pictures as they are trained").click()
    details = page.locator("#plan-details")
    expect(details.locator(".grid li")).to_have_count(7, timeout=PATIENCE)
    expect(details.locator(".grid img").last).to_have_js_property("complete", True, timeout=PATIENCE)
    expect(details.locator(".grid img").first).not_to_have_js_property("naturalWidth", 0, timeout=PATIENCE)
    expect(details.locator("mark")).to_contain_text("description number 13")
    expect(details.locator(".filters")).to_contain_text("1 caption has more than 75 tokens")
    expect(details.locator(".filters")).to_contain_text("2 pictures have the same content as another.")
    expect(details.locator(".filters")).to_contain_text("1 caption is empty.")
    expect(details.locator(".filters")).to_contain_text("1 picture is enlarged")
    shoot(page, "44-plan-pictures")
    details.get_by_role("button", name=re.compile("same content")).click()
    expect(details.locator(".grid li")).to_have_count(2, timeout=PATIENCE)
    page.keyboard.press("Escape")
    expect(details).to_have_count(0)
    expect(plan.get_by_role("button", name="See the pictures as they are trained")).to_be_focused()


def test_a_broken_file_is_named(app: Any, browser_page: Any, folder: Path) -> None:
    page = browser_page
    (folder / "7.png").write_bytes(b"no picture")
    app.start(settings={"train_data_dir": str(folder.parent), "resolution": "256,256", "max_train_epochs": 1})
    page.goto(app.url)
    expect(page.locator("#plan")).to_contain_text("7.png is broken or no image; replace it", timeout=PATIENCE)
