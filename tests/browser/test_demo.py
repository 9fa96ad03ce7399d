"""The demo, started by a press of the button: the real engine on the model that comes with the program."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kohya_gui.app import DEMO

expect = pytest.importorskip("playwright.sync_api").expect
MINUTES = 9 * 60_000
OVER = re.compile("done|failed|stopped")
SHORTER = {
    "max_train_steps": 12,
    "sample_every_n_steps": 6,
    "lr_warmup_steps": 2,
    "sample_prompts": "bloop monster --d 1 --s 4",
}


@pytest.mark.slow
@pytest.mark.skipif(not DEMO.is_file(), reason="the demo preset is missing")
def test_a_newcomer_presses_start_and_gets_a_lora(
    app: Any, browser_page: Any, tmp_path: Path, shoot: Callable[..., None]
) -> None:
    demo = json.loads(DEMO.read_text(encoding="utf-8"))["settings"]
    folders = {"output_dir": str(tmp_path / "out"), "logging_dir": str(tmp_path / "logs")}
    app.start(settings={**demo, **SHORTER, **folders}, real_engine=True)
    page = browser_page
    page.goto(app.url)
    page.wait_for_selector("#plan dl")
    page.click("#start")
    expect(page.locator("#live")).to_have_attribute("data-state", OVER, timeout=MINUTES)
    expect(page.locator("#live .state-line")).to_contain_text("Done")
    expect(page.locator("#live .facts")).to_contain_text("12 of 12")
    expect(page.locator("#live-samples img").last).to_have_js_property("naturalWidth", 64, timeout=60_000)
    assert page.locator("#live-samples img").count() == 3
    expect(page.locator("#live-saved")).to_contain_text("bloop.safetensors")
    assert (tmp_path / "out" / "bloop.safetensors").stat().st_size > 100_000
    shoot(page, "9-demo", full_page=True)
