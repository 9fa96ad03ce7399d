"""What a visitor waits for: how soon the app serves, how large each page is, how soon it can be used.

    python benchmarks/page.py [--visits 5] [--language de]

A page counts as usable when what one comes for can be pressed or typed into. Every visit is that of a new browser with
nothing in its cache. Bytes are those of the HTML with Gradio's configuration in it, and of the same as it is sent,
compressed; Gradio's own scripts and styles, which a browser keeps, are counted for themselves.
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
import urllib.request
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
LIMITS = {"import to serving": 4.0, "page": 700_000, "usable": 2.0}
USABLE = {
    "": ("#start:enabled", "#p-output_name input"),
    "dataset": ("#dataset input",),
    "runs": ("#runs *",),
    "tools": ("#open-merge_lora button",),
    "settings": ("#save-settings:enabled", "#settings-about dd"),
}
"""Path of a page -> what has to be there before it can be used."""

PATIENCE_MS = 120_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(port: int, runs: str) -> tuple[subprocess.Popen[str], float]:
    """The app, and the seconds until it said that it serves."""
    began = time.perf_counter()
    app = subprocess.Popen(
        [sys.executable, "-m", "kohya_gui", "--server_port", str(port), "--runs", runs, "--state", runs],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert app.stdout is not None
    for line in app.stdout:
        if line.startswith("Serving"):
            return app, time.perf_counter() - began
    raise SystemExit("The app ended before it served.")


def visit(browser: Browser, url: str, path: str, language: str) -> dict[str, float]:
    """Seconds until the page can be used, and what it consists of then."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale=language)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    began = time.perf_counter()
    page.goto(url + path, wait_until="commit")
    for selector in USABLE[path]:
        page.wait_for_selector(selector)
    usable = time.perf_counter() - began
    page.wait_for_load_state("load")
    sent: Any = page.evaluate(
        "performance.getEntriesByType('resource').reduce((sum, entry) => sum + entry.transferSize, 0)"
    )
    elements: Any = page.evaluate("document.querySelectorAll('*').length")
    context.close()
    return {"usable": usable, "others": sent, "elements": elements}


def size(url: str, language: str, encoding: str) -> int:
    request = urllib.request.Request(url, headers={"accept-language": language, "accept-encoding": encoding})
    with urllib.request.urlopen(request) as answer:
        return len(answer.read())


def measure(browser: Browser, url: str, path: str, visits: int, language: str) -> str:
    seen = [visit(browser, url, path, language) for _ in range(visits)]
    middle = {name: statistics.median(each[name] for each in seen) for name in seen[0]}
    plain, sent = size(url + path, language, "identity"), size(url + path, language, "br")
    return (
        f"{'/' + path:<12}{plain / 1000:>10.0f}{sent / 1000:>10.0f}{middle['others'] / 1000:>12.0f}"
        f"{middle['usable']:>10.2f}{middle['elements']:>10.0f}"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--visits", type=int, default=5)
    arguments.add_argument("--language", default="en")
    given = arguments.parse_args()
    program = next(filter(None, map(shutil.which, CHROMIUM)))
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with tempfile.TemporaryDirectory() as runs, sync_playwright() as playwright:
        app, serving = serve(port, runs)
        try:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            print(f"import to serving: {serving:.2f} s (limit {LIMITS['import to serving']:.1f})")
            print(f"{'page':<12}{'HTML, kB':>10}{'sent, kB':>10}{'others, kB':>12}{'usable, s':>10}{'elements':>10}")
            for path in USABLE:
                print(measure(browser, url, path, given.visits, given.language), flush=True)
            print(f"limits{LIMITS['page'] / 1000:>16.0f}{'':>22}{LIMITS['usable']:>10.2f}")
            browser.close()
        finally:
            app.terminate()
            app.wait()


if __name__ == "__main__":
    main()
