"""What a visitor waits for: how soon the app serves, how large its page is, how soon the page can be used.

    python benchmarks/page.py [--visits 5]

The page counts as usable when the Start button can be pressed and a field of the form can be typed into. Every visit
is that of a new browser with nothing in its cache.
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
PATIENCE_MS = 120_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(port: int, runs: str) -> tuple[subprocess.Popen[str], float]:
    """The app, and the seconds until it said that it serves."""
    began = time.perf_counter()
    app = subprocess.Popen(
        [sys.executable, "-m", "kohya_gui.app", "--server_port", str(port), "--runs", runs],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert app.stdout is not None
    for line in app.stdout:
        if line.startswith("Serving"):
            return app, time.perf_counter() - began
    raise SystemExit("The app ended before it served.")


def visit(browser: Browser, url: str) -> dict[str, float]:
    """Seconds until the page can be used, and what it consists of then."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    began = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_selector("#start:enabled")
    page.wait_for_selector("#p-output_name input")
    usable = time.perf_counter() - began
    page.wait_for_load_state("networkidle")
    sent: Any = page.evaluate(
        "performance.getEntriesByType('resource').reduce((sum, entry) => sum + entry.transferSize, 0)"
    )
    elements: Any = page.evaluate("document.querySelectorAll('*').length")
    context.close()
    return {"usable": usable, "scripts and styles": sent, "elements": elements}


def row(what: str, value: str, limit: str = "") -> str:
    return f"{what:<44}{value:>12}{limit:>12}"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--visits", type=int, default=5)
    visits = arguments.parse_args().visits
    program = next(filter(None, map(shutil.which, CHROMIUM)))
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with tempfile.TemporaryDirectory() as runs, sync_playwright() as playwright:
        app, serving = serve(port, runs)
        try:
            with urllib.request.urlopen(url) as answer:
                page = len(answer.read())
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            seen = [visit(browser, url) for _ in range(visits)]
            browser.close()
        finally:
            app.terminate()
            app.wait()
    middle = {name: statistics.median(each[name] for each in seen) for name in seen[0]}
    print(row("", "measured", "limit"))
    print(row("import to serving, s", f"{serving:.2f}", f"{LIMITS['import to serving']:.1f}"))
    print(row("page (HTML with its configuration), kB", f"{page / 1000:.0f}", f"{LIMITS['page'] / 1000:.0f}"))
    print(row("Gradio's scripts and styles as sent, kB", f"{middle['scripts and styles'] / 1000:.0f}"))
    print(row(f"usable, median of {visits} visits, s", f"{middle['usable']:.2f}", f"{LIMITS['usable']:.1f}"))
    print(row("elements on the page", f"{middle['elements']:.0f}"))


if __name__ == "__main__":
    main()
