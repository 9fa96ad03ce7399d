"""What a visitor does and sees. The engine is a fake that writes run folders; everything else is real."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

expect = pytest.importorskip("playwright.sync_api").expect
PATIENCE = 180_000
SLOW_STEPS = 40


@pytest.fixture(scope="module")
def settings(images: Path) -> dict[str, Any]:
    return {
        "train_data_dir": str(images), "resolution": "64,64", "max_train_steps": 60, "seed": 10,
        "output_name": "teapot",
        "min_bucket_reso": 64,
    }  # fmt: skip


@pytest.fixture
def app(one_app: Any, settings: dict[str, Any]) -> Iterator[Any]:
    if not one_app.is_running():
        one_app.start(settings=settings)
    yield one_app
    one_app.clear()


def open_page(page: Any, app: Any, query: str = "") -> None:
    page.goto(app.url + query)
    page.wait_for_selector("#start")


def see(page: Any, selector: str, text: str | re.Pattern[str]) -> None:
    expect(page.locator(selector)).to_contain_text(text, timeout=PATIENCE)


def field(page: Any, key: str) -> Any:
    return page.locator(f"#p-{key}").locator("input, textarea").first


def test_from_opening_the_page_to_a_finished_run(
    app: Any, browser_page: Any, settings: Any, shoot: Callable[..., None]
) -> None:
    page = browser_page
    open_page(page, app)
    see(page, "#live", "No run yet.")
    see(page, "#plan", "60")
    shoot(page, "1-opened")
    page.click("#start")
    see(page, "#live-state", re.compile("Starting|Loading|Preparing|Training|Drawing|Done"))
    see(page, "#live-state", "Done")
    see(page, "#live .facts", "60 of 60")
    expect(page.locator("#live-samples img").last).to_have_js_property("naturalWidth", 64, timeout=PATIENCE)
    see(page, "#live-saved", "fake-000060.safetensors")
    page.click("#live .log summary")
    see(page, "#live-log", "steps: 60/60")
    expect(page.locator("#live-log")).not_to_contain_text("steps: 59/60")
    shoot(page, "2-done", full_page=True)
    page.locator("#live-samples .picture").last.click()
    see(page, "#live-picture", "step 60")
    page.keyboard.press("ArrowLeft")
    see(page, "#live-picture", "step 48")
    page.keyboard.press("Escape")
    with page.expect_download() as taken:
        page.locator("#live-saved a").first.click()
    assert taken.value.suggested_filename == "fake-000060.safetensors"


def test_a_run_outlives_a_reload_and_is_seen_in_a_second_browser(
    app: Any, browser_page: Any, new_page: Callable[[], Any], settings: Any, shoot: Callable[..., None]
) -> None:
    page = browser_page
    long = app.store.create("long", {**settings, "max_train_steps": 100_000, "seed": SLOW_STEPS}, status="cancelled")
    open_page(page, app, f"?run={long}")
    page.click("#start")
    see(page, "#live-state", "Training")
    page.reload()
    see(page, "#live-state", re.compile("Training|Drawing"))
    expect(page.locator("#live-stop")).to_be_enabled(timeout=PATIENCE)
    other = new_page()
    open_page(other, app)
    see(other, "#live .facts", "of 100,000")
    page.click("#live-save")
    see(page, "#live-saved", ".safetensors")
    page.click("#live-stop")
    see(page, "#live-state", "Stopped")
    see(other, "#live-state", "Stopped")
    shoot(page, "4-stopped")


def test_wrong_values_are_said_at_the_field_and_stop_the_start(
    app: Any, browser_page: Any, settings: Any, shoot: Callable[..., None]
) -> None:
    page = browser_page
    open_page(page, app)
    field(page, "learning_rate").fill("much")
    see(page, "#problems", "'much' is not a number.")
    message = page.locator("#p-learning_rate").evaluate("field => getComputedStyle(field, '::after').content")
    assert "is not a number" in message
    page.click("#start")
    see(page, "#start-said", "Nothing was started")
    assert app.store.ids() == []
    shoot(page, "6-problem")
    field(page, "learning_rate").fill("0.0002")
    expect(page.locator("#problems")).not_to_contain_text("is not a number", timeout=PATIENCE)
    page.click("#more-optimizer > button")
    field(page, "max_grad_norm").fill("")
    see(page, "#problems", "It is empty; give a number.")
    page.click("#problems a")
    expect(field(page, "max_grad_norm")).to_be_focused(timeout=PATIENCE)
    field(page, "max_grad_norm").fill("0")
    page.click("#print-command")
    expect(page.locator("#command textarea")).to_have_value(re.compile("--max_grad_norm=0"), timeout=PATIENCE)


def test_where_a_login_is_asked_for_nothing_is_seen_without_it(
    fresh_app: Any, browser_page: Any, settings: Any, shoot: Callable[..., None]
) -> None:
    page, app = browser_page, fresh_app
    app.start("--username", "me", "--password", "secret word", settings=settings)
    assert page.request.get(app.url + "live/runs").status == 401
    page.goto(app.url)
    page.get_by_label("Name").fill("me")
    page.get_by_label("Password").fill("secret word")
    shoot(page, "8-login")
    page.get_by_role("button", name="Sign in").click()
    see(page, "#live", "No run yet.")
    page.click("#start")
    see(page, "#live-state", "Done")
