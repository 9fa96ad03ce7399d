"""TensorBoard from the page: started, opened in the visitor's browser, stopped, and never there longer than the app."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

expect = pytest.importorskip("playwright.sync_api").expect
pytest.importorskip("tensorboard")
PATIENCE = 120_000
ROOT = Path(__file__).parents[2]


def write_curve(folder: Path) -> None:
    """A loss that falls, as the trainer logs it."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    folder.mkdir(parents=True)
    writer = EventFileWriter(str(folder))
    for step in range(1, 41):
        value = Summary.Value(tag="loss/average", simple_value=1 / step)
        writer.add_event(Event(step=step, wall_time=1e9 + step, summary=Summary(value=[value])))
    writer.close()


def boards(app: Any) -> list[Any]:
    """The processes of TensorBoard that the app started."""
    import psutil

    children = psutil.Process(app.process.pid).children(recursive=True)
    return [child for child in children if "tensorboard" in " ".join(child.cmdline())]


def gone(processes: list[Any]) -> bool:
    import psutil

    return not psutil.wait_procs(processes, timeout=30)[1]


def test_tensorboard_is_started_shown_and_stopped(app: Any, browser_page: Any, shoot: Callable[..., None]) -> None:
    page = browser_page
    write_curve(app.store.root / "a-run" / "logs" / "network_train")
    app.start()
    page.goto(app.url)
    page.click("#board-start")
    expect(page.locator("#board-open")).to_be_visible(timeout=PATIENCE)
    running = boards(app)
    assert running
    with page.context.expect_page() as opened:
        page.click("#board-open")
    board = opened.value
    board.set_default_timeout(PATIENCE)
    assert board.url.startswith(f"{app.url}live/tensorboard/ui/")
    expect(board.locator("tb-root, tf-tensorboard, body").first).to_contain_text("loss", timeout=PATIENCE)
    deadline = time.monotonic() + 60
    while "a-run" not in (found := page.request.get(f"{app.url}live/tensorboard/ui/data/runs").text()):
        assert time.monotonic() < deadline, found
        time.sleep(1)
    shoot(board, "47-tensorboard")
    page.click("#board-stop")
    expect(page.locator("#board-start")).to_be_visible(timeout=PATIENCE)
    assert gone(running)
    assert page.request.get(f"{app.url}live/tensorboard/ui/").status == 404


STARTED = """
import sys
from pathlib import Path
from kohya_gui.tensorboard import TensorBoard
board = TensorBoard()
board.start(Path(sys.argv[1]))
print("started", flush=True)
sys.stdin.read()
"""


def test_tensorboard_ends_with_the_app_however_that_ends(tmp_path: Path) -> None:
    import psutil

    command = [sys.executable, "-c", STARTED, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as app:
        assert app.stdout and app.stdout.readline() == b"started\n"
        running = psutil.Process(app.pid).children()
        assert running
        app.kill()
    assert gone(running)
