"""Models that come from the hub: asked for with the token, and given up within seconds where nobody answers."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sd_scripts import train
from sd_scripts.config.load import from_flat
from sd_scripts.errors import UserError
from sd_scripts.families import sources
from sd_scripts.training import run

UNREACHABLE = (
    "pretrained_model_name_or_path: The Hugging Face hub can't be reached to fetch owner/model; "
    "name a file or folder on this machine."
)


@pytest.fixture
def hub_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Makes the hub's library look for the hub at a port of this machine, and keep nothing of earlier days."""
    from huggingface_hub import constants

    def point(port: int) -> None:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return point


@pytest.fixture
def asked() -> Iterator[tuple[int, list[str | None]]]:
    """A hub that knows nothing but notes the keys it is shown: its port, and those."""
    keys: list[str | None] = []

    class Hub(BaseHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

        def do_GET(self) -> None:
            keys.append(self.headers.get("Authorization"))
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, keys
    server.shutdown()
    server.server_close()


def test_a_model_is_asked_for_with_the_token_of_the_settings(
    hub_at: Any, asked: tuple[int, list[str | None]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The whole program is run up to the point where it begins to train."""
    port, keys = asked
    hub_at(port)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    config = from_flat({"huggingface_token": "hf_hush", "output_dir": str(tmp_path), "seed": 1}).unwrap()
    told = []

    def fetching(*_: object) -> None:
        with pytest.raises(UserError) as raised:
            sources.locate("owner/model", "pretrained_model_name_or_path")
        told.append(str(raised.value))

    monkeypatch.setattr(run, "run_training", fetching)
    assert train.train(config, train.open_run(config)) == train.DONE
    assert keys[-1] == "Bearer hf_hush"
    assert told == [
        "pretrained_model_name_or_path: There is no owner/model on the Hugging Face hub, nor a file or folder of that "
        "name; check its spelling."
    ]


@pytest.mark.parametrize("answers", [False, True], ids=["closed", "silent"])
def test_a_hub_that_can_not_be_reached_is_given_up_within_seconds(
    hub_at: Any, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    """A port that nobody listens at, and one where somebody takes the call and says nothing."""
    monkeypatch.setattr(sources, "WAIT_SECONDS", 1)
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        hub_at(listener.getsockname()[1])
        if not answers:
            listener.close()
        started = time.monotonic()
        with pytest.raises(UserError) as raised:
            sources.locate("owner/model", "pretrained_model_name_or_path")
        assert str(raised.value) == UNREACHABLE
        assert time.monotonic() - started < 15
    finally:
        listener.close()
