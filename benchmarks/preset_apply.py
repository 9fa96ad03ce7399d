"""How long a preset takes: to say what it would change, to fill the form, and until all is judged anew.

    python benchmarks/preset_apply.py [--times 9]

The clock runs in the browser. "Filled" is when the last field that is drawn shows its new value and the browser has
painted it; "judged" is when problems, hidden fields and marks fit the new values.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
PRESETS = ("SD1 style", "SD1 low VRAM")
LIMIT_MS = 300
PATIENCE_MS = 120_000

FILL = """() => new Promise((done) => {
  const offer = document.querySelector('.offer'), keep = document.getElementById('offer-keep')?.checked ? '1' : '0'
  const wanted = Object.entries(JSON.parse(offer.querySelector(`.variant[data-keep="${keep}"]`).dataset.values))
  const shows = ([key, value]) => {
    const input = document.querySelector(`#p-${key} :is(input, textarea)`)
    return !input || (input.type === 'checkbox' ? input.checked === value : input.value === String(value))
  }
  const drawn = wanted.filter(([key]) => document.querySelector(`#p-${key}`)).length
  const facts = document.getElementById('form-facts').dataset.facts
  const began = performance.now()
  let filled = 0
  const look = () => {
    if (!filled && wanted.every(shows)) filled = performance.now() - began
    if (filled && document.getElementById('form-facts').dataset.facts !== facts) {
      return done({ filled, judged: performance.now() - began, changed: wanted.length, drawn })
    }
    requestAnimationFrame(look)
  }
  document.getElementById('offer-apply').click()
  requestAnimationFrame(look)
})"""


def serve(runs: str) -> tuple[subprocess.Popen[str], str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "kohya_gui", "--server_port", port, "--runs", runs]
    app = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert app.stdout is not None
    for line in app.stdout:
        if line.startswith("Serving"):
            return app, f"http://127.0.0.1:{port}/"
    raise SystemExit("The app ended before it served.")


def apply(page: Page, preset: str) -> dict[str, float]:
    """Milliseconds until the changes were said, the fields were filled and all was judged; and how many there were."""
    page.wait_for_timeout(1500)
    page.locator("#preset input").click()
    option = page.get_by_role("option", name=preset, exact=True)
    option.wait_for()
    began = time.perf_counter()
    option.click()
    page.wait_for_selector(f'.offer[data-name="{preset}"]')
    said = 1000 * (time.perf_counter() - began)
    found: Any = page.evaluate(FILL)
    return {"said": said, **found}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--times", type=int, default=9)
    times = arguments.parse_args().times
    program = next(filter(None, map(shutil.which, CHROMIUM)))
    with tempfile.TemporaryDirectory() as runs, sync_playwright() as playwright:
        app, url = serve(runs)
        try:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(PATIENCE_MS)
            page.goto(url)
            page.wait_for_selector("#plan dl")
            seen = [apply(page, PRESETS[number % 2]) for number in range(times)]
            browser.close()
        finally:
            app.terminate()
            app.wait()
    middle = {name: statistics.median(each[name] for each in seen) for name in seen[0]}
    print(f"median of {times}; {middle['changed']:.0f} settings changed, {middle['drawn']:.0f} of them drawn")
    print(f"{'choose: changes are said, ms':<34}{middle['said']:>8.0f}")
    print(f"{'apply: fields are filled, ms':<34}{middle['filled']:>8.0f}   (limit {LIMIT_MS})")
    print(f"{'apply: all is judged, ms':<34}{middle['judged']:>8.0f}")


if __name__ == "__main__":
    main()
