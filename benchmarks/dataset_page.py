"""How the dataset page copes with a folder of 10,000 images: page, gallery, bulk edit and undo.

    python benchmarks/dataset_page.py [--images 10000]

The page counts as usable when the first pictures of the gallery are there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
LIMITS = {"page": 300_000, "usable": 4.0, "items": 0.7, "try": 1.5, "apply": 15.0, "undo": 15.0}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_images(folder: Path, count: int) -> None:
    folder.mkdir()
    Image.new("RGB", (512, 512), (40, 90, 160)).save(folder / "first.jpg")
    content = (folder / "first.jpg").read_bytes()
    (folder / "first.jpg").unlink()
    for number in range(count):
        (folder / f"{number:05d}.jpg").write_bytes(content)
        (folder / f"{number:05d}.txt").write_text(f"a red cat, tag {number % 97}, indoors, number {number}")


def serve(port: int, work: str) -> subprocess.Popen[str]:
    app = subprocess.Popen(
        [sys.executable, "-m", "kohya_gui", "--server_port", str(port), "--runs", f"{work}/runs", "--allow", work],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert app.stdout is not None
    if any(line.startswith("Serving") for line in app.stdout):
        return app
    raise SystemExit("The app ended before it served.")


def asked(url: str, what: str, body: dict[str, Any]) -> tuple[float, int]:
    """Seconds, and bytes of the answer."""
    headers = {"content-type": "application/json", "x-live": "1"}
    request = urllib.request.Request(f"{url}live/dataset/{what}", json.dumps(body).encode(), headers)
    began = time.perf_counter()
    with urllib.request.urlopen(request) as answer:
        size = len(answer.read())
    return time.perf_counter() - began, size


def visited(url: str, folder: Path) -> float:
    """Seconds until a new browser shows the pictures."""
    program = next(filter(None, map(shutil.which, CHROMIUM)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)
        began = time.perf_counter()
        page.goto(f"{url}dataset?folder={folder}", wait_until="commit")
        page.wait_for_function("document.querySelector('#dataset .grid img')?.naturalWidth > 0")
        usable = time.perf_counter() - began
        browser.close()
    return usable


def row(what: str, value: str, limit: str = "") -> None:
    print(f"{what:<52}{value:>12}{limit:>12}", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--images", type=int, default=10_000)
    count = arguments.parse_args().images
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "images"
        make_images(folder, count)
        app = serve(port, work)
        place = {"folder": str(folder)}
        edit = {**place, "kind": "replace", "settings": {"find": "red", "by": "blue"}}
        try:
            row(f"{count:,} images", "measured", "limit")
            with urllib.request.urlopen(f"{url}dataset") as answer:
                row(
                    "page (HTML with scripts and styles), kB",
                    f"{len(answer.read()) / 1000:.0f}",
                    f"{LIMITS['page'] / 1000:.0f}",
                )
            row("first pictures in a new browser, s", f"{visited(url, folder):.2f}", f"{LIMITS['usable']:.1f}")
            for what, words in (
                ("items", "a page of 60"),
                ("try", "preview of an edit of all"),
                ("apply", "the edit"),
                ("undo", "undo"),
            ):
                body = place if what in ("items", "undo") else edit
                seconds, size = asked(url, what, body)
                row(f"{words}, s", f"{seconds:.2f}", f"{LIMITS[what]:.1f}")
                if what == "items":
                    row("a page of 60, kB", f"{size / 1000:.0f}")
        finally:
            app.terminate()
            app.wait()


if __name__ == "__main__":
    main()
