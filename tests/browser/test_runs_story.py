"""The page of runs: what a visitor does with many of them. The engine is a fake; everything else is real."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kohya_gui.runs.supervisor import Supervisor

expect = pytest.importorskip("playwright.sync_api").expect
PATIENCE = 180_000
QUICK = {"seed": 2, "max_train_steps": 40, "learning_rate": 1e-4}
SLOW = {"seed": 60, "max_train_steps": 400}


def see(page: Any, selector: str, text: str | re.Pattern[str]) -> None:
    expect(page.locator(selector).first).to_contain_text(text, timeout=PATIENCE)


def row(page: Any, run: str) -> Any:
    return page.locator(f'li.run[data-id="{run}"]')


def state_of(page: Any, run: str, state: str) -> None:
    expect(row(page, run)).to_have_attribute("data-state", state, timeout=PATIENCE)


def do(page: Any, run: str, what: str) -> None:
    row(page, run).locator(f'[data-do="{what}"]').first.click()


def menu(page: Any, run: str, what: str) -> None:
    row(page, run).locator("summary").click()
    do(page, run, what)


def queued(app: Any, *runs: tuple[str, dict[str, Any]]) -> list[str]:
    """Put into the queue as another program on this machine would: by a store of its own."""
    supervisor = Supervisor(app.store, ("the app starts them",))
    supervisor.look = lambda: None  # type: ignore[method-assign]
    return [supervisor.enqueue(name, settings, {}) for name, settings in runs]


def open_runs(page: Any, app: Any) -> None:
    page.goto(app.url + "runs")
    page.wait_for_selector("#runs h2")


def test_a_queue_of_three_with_one_that_fails(app: Any, browser_page: Any, shoot: Callable[..., None]) -> None:
    page = browser_page
    app.start(settings={})
    first, bad, last = queued(
        app,
        ("teapot", SLOW),
        ("teapot wrong model", {**QUICK, "training_comment": "fail at start"}),
        ("teapot small", QUICK),
    )
    open_runs(page, app)
    state_of(page, first, "training")
    see(page, f'li.run[data-id="{last}"]', "number 2 in the queue")
    do(page, last, "up")
    see(page, f'li.run[data-id="{last}"]', "number 1 in the queue")
    do(page, last, "down")
    see(page, f'li.run[data-id="{last}"]', "number 2 in the queue")
    shoot(page, "runs-1-queue")
    do(page, first, "stop")
    state_of(page, first, "stopped")
    state_of(page, bad, "failed")
    state_of(page, last, "done")
    row(page, bad).locator(".name").click()
    see(page, "#live-failure", "nowhere.safetensors does not exist.")
    shoot(page, "runs-2-one-failed")


def test_pause_resume_and_changes_of_a_live_run(app: Any, browser_page: Any, shoot: Callable[..., None]) -> None:
    page = browser_page
    app.start(settings={})
    (run,) = queued(app, ("teapot", {**SLOW, "max_train_steps": 150}))
    open_runs(page, app)
    state_of(page, run, "training")
    page.click("#live-change")
    page.fill("#live-factor", "0.5")
    page.fill("#live-end", "60")
    page.get_by_role("button", name="Change it").click()
    see(page, "#live .history", "learning rates × 0.5, end at step 60")
    see(page, "#live .facts", "of 60")
    shoot(page, "runs-3-changed")
    page.click("#live-pause")
    state_of(page, run, "paused")
    see(page, "#live-state", "Paused")
    step = app.store.reader(run).step
    see(page, "#live-resume", f"Resume from step {step}")
    shoot(page, "runs-4-paused")
    page.click("#live-resume")
    state_of(page, run, "done")
    assert app.store.reader(run).attempt == 2


def test_an_engine_that_is_killed_is_resumed(app: Any, browser_page: Any, shoot: Callable[..., None]) -> None:
    page = browser_page
    app.start(settings={})
    (run,) = queued(app, ("teapot", {**SLOW, "max_train_steps": 120, "save_state": True}))
    open_runs(page, app)
    state_of(page, run, "training")
    page.click("#live-save")
    see(page, "#live-saved", "-state")
    os.kill(app.store.process(run)[0].pid, signal.SIGKILL)
    state_of(page, run, "lost")
    see(page, "#live-failure", "killed")
    shoot(page, "runs-5-killed")
    do(page, run, "resume")
    state_of(page, run, "done")
    see(page, "#live .facts", "120 of 120")


def test_the_app_is_killed_and_started_again_in_mid_run(
    app: Any, browser_page: Any, shoot: Callable[..., None]
) -> None:
    page = browser_page
    app.start(settings={})
    first, second = queued(app, ("teapot", {**SLOW, "max_train_steps": 150}), ("next", QUICK))
    open_runs(page, app)
    state_of(page, first, "training")
    app.kill()
    see(page, "#runs .said", "The app does not answer; training is not affected.")
    app.start(settings={})
    state_of(page, second, "done")
    state_of(page, first, "done")
    expect(page.locator("#runs .said")).to_have_text("", timeout=PATIENCE)
    shoot(page, "runs-6-app-restarted")


def test_tags_notes_duplicate_search_and_delete(app: Any, browser_page: Any, shoot: Callable[..., None]) -> None:
    page = browser_page
    app.start(settings={})
    one, two = queued(app, ("teapot", QUICK), ("kettle", QUICK))
    open_runs(page, app)
    state_of(page, two, "done")
    menu(page, one, "notes")
    page.get_by_label("Tags, with commas between").fill("good, blue")
    page.get_by_label("Notes", exact=True).fill("The lid is right at last.")
    shoot(page, "runs-7-notes")
    page.get_by_role("button", name="Keep").click()
    see(page, f'li.run[data-id="{one}"] .tags', "blue")
    page.fill("#runs-search", "lid")
    expect(page.locator("li.run")).to_have_count(1)
    page.fill("#runs-search", "")
    menu(page, two, "duplicate")
    expect(page.locator("li.run")).to_have_count(3, timeout=PATIENCE)
    expect(page.locator('li.run[data-state="done"]')).to_have_count(3, timeout=PATIENCE)
    menu(page, two, "delete")
    page.get_by_label("Delete the files that were trained too").check()
    shoot(page, "runs-8-delete")
    page.locator(".runs-dialog .yes").click()
    expect(row(page, two)).to_have_count(0, timeout=PATIENCE)
    assert not (app.store.root / two).exists()


def test_runs_are_compared(app: Any, browser_page: Any, shoot: Callable[..., None]) -> None:
    page = browser_page
    app.start(settings={})
    runs = queued(app, *((f"teapot rate {rate}", {**QUICK, "learning_rate": rate}) for rate in (1e-4, 5e-5, 2e-5)))
    open_runs(page, app)
    for run in runs:
        state_of(page, run, "done")
        row(page, run).locator('input[type="checkbox"]').check()
    page.click("#runs-compare")
    see(page, "#compare-settings", "Learning rate")
    assert page.locator("#compare-settings tbody tr").count() == 5
    expect(page.locator("#compare-samples img").first).to_have_js_property("naturalWidth", 64, timeout=PATIENCE)
    assert page.locator("#compare-samples img").count() == 9
    shoot(page, "runs-9-compare")
    page.locator("#compare .step-slider input").fill("0")
    see(page, "#compare-samples output", "before")
    page.keyboard.press("Escape")
    expect(page.locator("#compare")).to_have_count(0)


def test_a_sweep_from_the_form_to_the_comparison(
    app: Any, browser_page: Any, images: Path, shoot: Callable[..., None]
) -> None:
    page = browser_page
    folder = {"train_data_dir": str(images), "resolution": "64,64", "min_bucket_reso": 64, "output_name": "teapot"}
    app.start(settings={**folder, **QUICK})
    page.goto(app.url)
    page.wait_for_selector("#start")
    page.locator("#p-learning_rate").locator("input, textarea").first.fill("1e-4, 5e-5, 2e-5")
    see(page, "#plan", "40")
    page.click("#start")
    see(page, "#start-said", "3 runs are in the queue.")
    open_runs(page, app)
    expect(page.locator('li.run[data-state="done"]')).to_have_count(3, timeout=PATIENCE)
    see(page, "#runs-earlier", "teapot learning_rate=5e-05")
    for box in page.locator('li.run input[type="checkbox"]').all():
        box.check()
    page.click("#runs-compare")
    see(page, "#compare-settings", "Learning rate")
    shoot(page, "runs-12-sweep")


def test_the_page_works_on_a_phone_and_in_the_dark(
    app: Any, new_page: Callable[..., Any], shoot: Callable[..., None]
) -> None:
    app.start(settings={})
    runs = queued(app, ("teapot", QUICK), ("a name that is rather long for a phone", SLOW), ("third", QUICK))
    page = new_page(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 844})
    open_runs(page, app)
    state_of(page, runs[0], "done")
    state_of(page, runs[1], "training")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shoot(page, "runs-10-phone")
    row(page, runs[0]).locator(".name").focus()
    page.keyboard.press("Enter")
    see(page, "#live .facts", "40 of 40")


def test_a_run_whose_keys_are_gone_asks_for_them(
    app: Any, browser_page: Any, shoot: Callable[..., None], tmp_path: Path
) -> None:
    page = browser_page
    (run,) = queued(app, ("teapot", QUICK))
    file = app.store.root / run / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "secrets": ["HF_TOKEN"]}))
    app.start(settings={})
    open_runs(page, app)
    see(page, f'li.run[data-id="{run}"]', "give HF_TOKEN again")
    do(page, run, "secrets")
    page.get_by_label("HF_TOKEN").fill("hf_x")
    shoot(page, "runs-11-keys")
    page.get_by_role("button", name="Go on").click()
    state_of(page, run, "done")
