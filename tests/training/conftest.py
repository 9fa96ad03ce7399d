"""Trainings that tests of a file share, and processes without the seconds that a new Python takes to import
everything."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

SECONDS = 300


@pytest.fixture(scope="module")
def already_trained() -> dict[str, Any]:
    return {}


@pytest.fixture
def trained(train: Any, already_trained: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """As `train`, but into a folder of its own, and only once a file for the same settings."""

    def run(**settings: Any) -> Any:
        key = json.dumps(settings, sort_keys=True, default=str)
        if key not in already_trained:
            folder = tmp_path_factory.mktemp("trained")
            already_trained[key] = train(**settings, output_dir=folder / "out", run_dir=folder / "run")
        return already_trained[key]

    return run


@pytest.fixture
def two_processes() -> Callable[[Callable[[], Any]], None]:
    """Runs a training in two processes that know of each other as those of a launcher do; both must end well."""
    import torch

    if sys.platform != "linux" or torch.cuda.is_available():
        pytest.skip("only Linux forks safely, and no GPU survives it")
    return _run


def _run(training: Callable[[], Any]) -> None:
    port = _free_port()
    running = {_forked(training, rank, port) for rank in range(2)}
    deadline = time.monotonic() + SECONDS
    try:
        while running:
            assert time.monotonic() < deadline, "the processes wait for each other"
            time.sleep(0.02)
            for child in list(running):
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    running.remove(child)
                    assert os.waitstatus_to_exitcode(status) == 0
    finally:
        for child in running:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _forked(training: Callable[[], Any], rank: int, port: int) -> int:
    if child := os.fork():
        return child
    code = 1
    try:
        import torch

        torch.set_num_threads(1)  # the threads of the process it was forked from are not there
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in place.items()})
        code = training().code
    finally:
        os._exit(code)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
