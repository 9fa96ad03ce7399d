"""The page of runs: what a visitor does with many of them. The engine is a fake; everything else is real."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kohya_gui.runs.supervisor import Supervisor

expect = pytest.importorskip("playwright.sync_api").expect
PATIENCE = 180_000
ROOT = Path(__file__).resolve().parents[2]
QUICK = {"seed": 2, "max_train_steps": 40, "learning_rate": 1e-4}
ENDLESS = {"seed": 60, "max_train_steps": 100_000}
"""Goes on until somebody ends it, however slow the machine is that the test runs on."""


@pytest.fixture
def app(one_app: Any) -> Iterator[Any]:
    if not one_app.is_running():
        one_app.start(settings={})
    yield one_app
    one_app.clear()


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


def change(page: Any, factor: str = "1", end: str = "") -> None:
    page.click("#live-change")
    page.fill("#live-factor", factor)
    page.fill("#live-end", end)
    page.get_by_role("button", name="Change it").click()


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
    first, bad, last = queued(
        app,
        ("teapot", ENDLESS),
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
    see(page, "#live-log", "Loading the model")
    shoot(page, "runs-2-one-failed")


def test_pause_resume_and_changes_of_a_live_run(app: Any, browser_page: Any, shoot: Callable[..., None]) -> None:
    page = browser_page
    (run,) = queued(app, ("teapot", ENDLESS))
    open_runs(page, app)
    state_of(page, run, "training")
    change(page, factor="0.5", end="90000")
    see(page, "#live .history", "learning rates × 0.5, end at step 90,000")
    see(page, "#live .facts", "of 90,000")
    shoot(page, "runs-3-changed")
    page.click("#live-pause")
    state_of(page, run, "paused")
    see(page, "#live-state", "Paused")
    step = app.store.reader(run).step
    see(page, "#live-resume", f"Resume from step {step}")
    shoot(page, "runs-4-paused")
    page.click("#live-resume")
    state_of(page, run, "training")
    change(page, end="1")
    state_of(page, run, "done")
    assert app.store.reader(run).attempt == 2


def test_an_engine_that_is_killed_is_resumed(app: Any, browser_page: Any, shoot: Callable[..., None]) -> None:
    page = browser_page
    (run,) = queued(app, ("teapot", {**ENDLESS, "save_state": True}))
    open_runs(page, app)
    state_of(page, run, "training")
    page.click("#live-save")
    see(page, "#live-saved", "-state")
    os.kill(app.store.process(run)[0].pid, signal.SIGKILL)
    state_of(page, run, "lost")
    see(page, "#live-failure", "killed")
    shoot(page, "runs-5-killed")
    saved = app.store.describe(run)["state_step"]
    do(page, run, "resume")
    state_of(page, run, "training")
    starts = [event for event in app.store.folder(run).read()[0] if event["kind"] == "start"]
    assert [event["resumed_step"] for event in starts] == [0, saved]


def test_the_app_is_killed_and_started_again_in_mid_run(
    app: Any, browser_page: Any, shoot: Callable[..., None]
) -> None:
    page = browser_page
    first, second = queued(app, ("teapot", ENDLESS), ("next", QUICK))
    open_runs(page, app)
    state_of(page, first, "training")
    app.kill()
    for place in ("#runs .said", "#live .said"):
        see(page, place, "The app does not answer; training is not affected.")
    shoot(page, "3-app-gone")
    before = app.store.reader(first).step
    app.start(settings={})
    for place in ("#runs .said", "#live .said"):
        expect(page.locator(place).first).to_have_text("", timeout=PATIENCE)
    state_of(page, second, "queued")
    do(page, first, "stop")
    state_of(page, first, "stopped")
    state_of(page, second, "done")
    assert app.store.reader(first).step > before and app.store.reader(first).attempt == 1
    shoot(page, "runs-6-app-restarted")


def test_tags_notes_duplicate_search_and_delete(app: Any, browser_page: Any, shoot: Callable[..., None]) -> None:
    page = browser_page
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


def test_a_run_whose_folder_vanishes_takes_nothing_else_with_it(
    app: Any, browser_page: Any, hold: Callable[..., Any]
) -> None:
    """Not even where the news of it come late."""
    page = browser_page
    gone, other = (app.store.create(name, {}) for name in ("gone", "other"))
    for run in (gone, other):
        app.store.folder(run).events.write_text('{"time": 1, "kind": "state", "state": "done"}\n', encoding="utf-8")
    open_runs(page, app)
    for run in (gone, other):
        row(page, run).get_by_role("checkbox").check()
    row(page, gone).locator(".name").click()
    expect(page.locator("#live-run")).to_have_value(gone, timeout=PATIENCE)
    held = hold(page, f"/runs/{gone}/state")
    with page.expect_request(held.asked):
        page.evaluate("() => { live.tick() }")
    shutil.rmtree(app.store.root / gone)
    expect(row(page, gone)).to_have_count(0, timeout=PATIENCE)
    expect(page.locator("#runs-compare")).to_be_disabled(timeout=PATIENCE)
    row(page, other).locator(".name").click()
    see(page, "#live .folder", other)
    with page.expect_response(held.asked) as late:
        held.let_go()
    late.value.finished()
    page.evaluate("() => new Promise(requestAnimationFrame)")
    see(page, "#live .folder", other)
    expect(page.locator("#live .said")).to_be_empty(timeout=PATIENCE)
    expect(page.locator("#live-run")).to_have_value(other, timeout=PATIENCE)


def test_runs_are_compared(app: Any, browser_page: Any, shoot: Callable[..., None]) -> None:
    page = browser_page
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
    given = app.store.create("given", {**folder, **QUICK}, status="cancelled")
    page.goto(f"{app.url}?run={given}")
    page.wait_for_selector("#start")
    page.locator("#p-learning_rate").locator("input, textarea").first.fill("1e-4, 5e-5, 2e-5")
    see(page, "#plan", "40")
    page.click("#start")
    see(page, "#start-said", "3 runs are in the queue.")
    open_runs(page, app)
    expect(page.locator('li.run[data-state="done"]')).to_have_count(3, timeout=PATIENCE)
    see(page, "#runs-earlier", "teapot learning_rate=5e-05")
    for box in page.locator('li.run[data-state="done"] input[type="checkbox"]').all():
        box.check()
    page.click("#runs-compare")
    see(page, "#compare-settings", "Learning rate")
    shoot(page, "runs-12-sweep")


def test_the_page_works_on_a_phone_and_in_the_dark(
    app: Any, new_page: Callable[..., Any], shoot: Callable[..., None]
) -> None:
    runs = queued(app, ("teapot", QUICK), ("a name that is rather long for a phone", ENDLESS), ("third", QUICK))
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
    row(page, runs[1]).locator(".name").click()
    page.click("#live-stop_now")
    see(page, "#live-stop_now", "Lose what is not saved?")
    page.click("#live-stop_now")
    state_of(page, runs[1], "stopped")


def test_a_run_whose_keys_are_gone_asks_for_them(app: Any, browser_page: Any, shoot: Callable[..., None]) -> None:
    page = browser_page
    run = app.store.create("teapot", QUICK, status="queued", secrets=("HF_TOKEN",))
    open_runs(page, app)
    see(page, f'li.run[data-id="{run}"]', "give HF_TOKEN again")
    do(page, run, "secrets")
    page.get_by_label("HF_TOKEN").fill("hf_x")
    shoot(page, "runs-11-keys")
    page.get_by_role("button", name="Go on").click()
    state_of(page, run, "done")


@pytest.mark.filterwarnings("default")  # of the client's own libraries
def test_the_example_of_the_documentation_runs_as_pasted(
    app: Any, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    for given, here in {
        "http://127.0.0.1:7860/": app.url, "/models/sd15.safetensors": "sd_scripts/starter/model",
        "/images/teapot": str(images), "/loras": str(tmp_path),
    }.items():  # fmt: skip
        assert given in example
        example = example.replace(given, here)
    said: dict[str, Any] = {}
    exec(example, said)  # noqa: S102
    printed = [line.split(" ") for line in capsys.readouterr().out.splitlines() if "teapot" in line]
    assert [words[0] for words in printed] == said["started"]["runs"][::-1]
    client, run = said["client"], said["run"]
    state = lambda: client.predict(run, api_name="/state")["state"]  # noqa: E731
    deadline = time.monotonic() + PATIENCE / 1000
    while state() != "stopped":
        assert time.monotonic() < deadline
        time.sleep(0.3)
    with pytest.raises(Exception, match="is not running any more"):
        client.predict(run, True, api_name="/stop")
    with pytest.raises(Exception, match="is not a number"):
        client.predict({**app.store.settings(run), "learning_rate": "much"}, api_name="/start")
