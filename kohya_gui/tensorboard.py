"""TensorBoard beside the app: it listens on loopback only and is reached through the app, behind the app's login."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from sd_scripts.errors import UserError

PREFIX = "/live/tensorboard/ui"
START_SECONDS = 60.0
LEASH = """
import os, sys, threading

def end_with_the_app():
    sys.stdin.buffer.read()
    os._exit(0)

threading.Thread(target=end_with_the_app, daemon=True).start()
from tensorboard.main import run_main
run_main()
"""
"""TensorBoard, which ends when the app does, however that ends: then the pipe between them is closed."""


class NoTensorBoard(UserError):
    """TensorBoard can't be started."""


class TensorBoard:
    """At most one TensorBoard, started and ended with the app."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self.folder: Path | None = None
        self.port: int | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def address(self) -> str:
        """Where the app reaches it, including the path under which visitors see it."""
        return f"http://127.0.0.1:{self.port}{PREFIX}"

    def start(self, folder: Path) -> None:
        """Returns once it answers; one that shows another folder is ended first. Raises NoTensorBoard."""
        with self._lock:
            if self.running and folder == self.folder:
                return
            self._end()
            if importlib.util.find_spec("tensorboard") is None:
                raise NoTensorBoard("TensorBoard is not installed; install it with: pip install tensorboard")
            self.folder, self.port = folder, _free_port()
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-c", LEASH, "--logdir", str(folder), "--host", "127.0.0.1",
                 "--port", str(self.port), "--path_prefix", PREFIX, "--reload_interval", "5"],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
            self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if not self.running:
                raise NoTensorBoard(
                    "TensorBoard ended at once; run `tensorboard --logdir outputs` in a terminal to see why."
                )
            try:
                urllib.request.urlopen(self.address + "/", timeout=5).close()  # noqa: S310
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        self._end()
        raise NoTensorBoard(f"TensorBoard did not answer within {START_SECONDS:.0f} seconds; try again.")

    def stop(self) -> None:
        with self._lock:
            self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        if process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
