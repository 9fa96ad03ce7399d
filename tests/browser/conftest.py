"""A real browser for the tests: this machine's Chromium, driven by Playwright; and the app, in its own process."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kohya_gui.runs.store import RunStore
from sd_scripts.config import toml

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (  # no sandbox, because CI runs as root; the others keep the browser from looking up hosts of its maker
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 120_000  # a busy machine with two cores may need that long
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ARTEFACTS = ROOT / "tests" / "artefacts"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window, one for all tests of a file: its driver keeps an event loop running in this thread,
    which the tests of other files would meet."""
    path = next((found for found in map(shutil.which, NAMES) if found), None)
    if path is None:
        pytest.skip("No Chromium on this machine: `sudo apt install chromium` brings it.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, headless=True, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[[], Page]]:
    """Makes pages with cookies and storage of their own. Errors of the pages' own scripts fail the test."""
    contexts = []
    errors: list[str] = []

    def make(**options: Any) -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield make
    for context in contexts:
        context.close()
    assert errors == [], "the page's own scripts failed"


@pytest.fixture
def browser_page(new_page: Callable[[], Page]) -> Page:
    return new_page()


class App:
    """The app in a process of its own, on a port that stays the same when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = RunStore(folder / "runs")
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str, settings: dict[str, Any] | None = None, real_engine: bool = False) -> App:
        program = [str(HERE / "serve.py"), "real" if real_engine else "fake"]
        form = [] if settings is None else ["--config", str(self._config(settings))]
        command = [
            sys.executable,
            *program,
            "--server_port",
            str(self.port),
            "--runs",
            str(self.store.root),
            "--state",
            str(self.folder / "state"),
            "--allow",
            str(self.folder.parent),
            *form,
            *options,
        ]
        with (self.folder / "app.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log
            )
        self._wait()
        return self

    def _config(self, settings: dict[str, Any]) -> Path:
        file = self.folder / "gui.toml"
        file.write_text("[settings]\n" + toml.write_flat(settings, headings=False), encoding="utf-8")
        return file

    def _wait(self) -> None:
        deadline = time.monotonic() + 3 * PATIENCE_MS / 1000
        while time.monotonic() < deadline:
            assert self.process and self.process.poll() is None, self._printed()
            try:
                urllib.request.urlopen(self.url + "live/runs", timeout=5).close()
                return
            except urllib.error.HTTPError:
                return  # it answers: sign in first
            except OSError:
                time.sleep(0.2)
        raise AssertionError(f"the app did not answer: {self._printed()}")

    def _printed(self) -> str:
        return (self.folder / "app.log").read_text(encoding="utf-8")

    def kill(self) -> None:
        """As when its machine's window system ends it: it can't say goodbye."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def clear(self) -> None:
        """As if nothing had been started yet."""
        self.end_runs()
        for run in self.store.ids():
            shutil.rmtree(self.store.root / run, ignore_errors=True)

    def end_runs(self) -> None:
        for run in self.store.living():
            process = self.store.process(run)[0]
            if process:
                with contextlib.suppress(OSError):
                    os.kill(process.pid, signal.SIGKILL)


@pytest.fixture
def fresh_app(tmp_path: Path) -> Iterator[App]:
    made = App(tmp_path)
    yield made
    made.end_runs()
    made.kill()


@pytest.fixture
def app(fresh_app: App) -> App:
    """Files whose tests can share one have another of this name."""
    return fresh_app


@pytest.fixture(scope="module")
def lasting_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], App]]:
    """Makes apps that serve several tests of a file, which leave nothing in them that could disturb each other."""
    made: list[App] = []

    def make() -> App:
        made.append(App(tmp_path_factory.mktemp("app")))
        return made[-1]

    yield make
    for one in made:
        one.end_runs()
        one.kill()


@pytest.fixture(scope="module")
def one_app(lasting_app: Callable[[], App]) -> App:
    """For tests that clear it after themselves."""
    return lasting_app()


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures with captions, each to be seen five times an epoch."""
    from PIL import Image

    parent = tmp_path_factory.mktemp("images")
    folder = parent / "5_blue teapot"
    folder.mkdir()
    for number in range(4):
        Image.new("RGB", (64, 64), (40, 60 * number, 200)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("a blue teapot", encoding="utf-8")
    return parent


class Held:
    """What a page asks of the app under this path is kept until the test lets it go, so that others overtake it."""

    def __init__(self, page: Page, path: str) -> None:
        self.page = page
        self.asked = re.compile(re.escape(path))
        self.waiting: list[Any] = []
        self._is_open = False
        page.route(self.asked, self._take)

    def _take(self, route: Any) -> None:
        if self._is_open:
            route.continue_()
        else:
            self.waiting.append(route)

    def wait_for(self, count: int) -> None:
        while len(self.waiting) < count:
            self.page.wait_for_timeout(20)

    def let_go(self, wanted: Callable[[Any], bool] = lambda route: True) -> None:
        """Those that are wanted, and whatever is asked from now on."""
        self._is_open = True
        for route in [route for route in self.waiting if wanted(route)]:
            self.waiting.remove(route)
            route.continue_()


@pytest.fixture
def hold() -> type[Held]:
    return Held


@pytest.fixture
def shoot() -> Callable[..., None]:
    """Keeps a screenshot."""

    def take(page: Page, name: str, **options: Any) -> None:
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=ARTEFACTS / f"{name}.png", **options)

    return take


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
