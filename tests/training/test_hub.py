"""Uploads and downloads through huggingface_hub, against an endpoint of our own on this machine."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from sd_scripts.config.saving import SavingConfig
from sd_scripts.training import hub

COMMIT = "a" * 40
TOKEN = "hf_secret"


class FakeHub(BaseHTTPRequestHandler):
    """As much of the hub as uploading small files and fetching a folder needs."""

    files: dict[str, bytes]
    made: list[dict]

    def log_message(self, *words: object) -> None:
        pass

    def _answer(self, body: object = None, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_POST(self) -> None:
        body = self._body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer({"error": "Invalid token"}, 401)
        if self.path == "/api/repos/create":
            self.made.append(json.loads(body))
            return self._answer({"url": f"http://{self.headers['Host']}/me/lora"})
        if "/preupload/" in self.path:
            asked = json.loads(body)["files"]
            return self._answer(
                {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked]}
            )
        for line in body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                self.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
        return self._answer(
            {
                "commitUrl": f"http://{self.headers['Host']}/me/lora/commit/a",
                "commitOid": COMMIT,
                "hookOutput": "",
                "success": True,
            }
        )

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(self.path).split("?")[0]
        if path.startswith("/api/"):
            siblings = [{"rfilename": name} for name in self.files]
            if "/tree/" in path:
                return self._answer(
                    [{"type": "file", "path": n, "size": len(d), "oid": "b" * 40} for n, d in self.files.items()]
                )
            return self._answer(
                {
                    "id": "me/lora",
                    "sha": COMMIT,
                    "siblings": siblings,
                    "private": False,
                    "tags": [],
                    "downloads": 0,
                    "likes": 0,
                }
            )
        name = path.split("/resolve/")[1].split("/", 1)[1]
        return self._answer(self.files[name], headers={"X-Repo-Commit": COMMIT, "ETag": f'"{"c" * 40}"'})


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[FakeHub]]:
    from huggingface_hub import HfApi

    class Handler(FakeHub):
        files: dict[str, bytes] = {}
        made: list[dict] = []

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(
        hub,
        "_api",
        lambda saving: HfApi(
            endpoint=endpoint, token=saving.huggingface_token and saving.huggingface_token.get_secret_value()
        ),
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    yield Handler
    server.shutdown()
    server.server_close()


def _saving(**more: object) -> SavingConfig:
    return SavingConfig(huggingface_repo_id="me/lora", huggingface_token=TOKEN, **more)


@pytest.mark.parametrize("background", [False, True])
def test_a_file_and_a_state_are_uploaded_under_their_names(
    fake: type[FakeHub], tmp_path: Path, background: bool
) -> None:
    (tmp_path / "cat.safetensors").write_bytes(b"weights")
    (tmp_path / "cat-state").mkdir()
    (tmp_path / "cat-state" / "train_state.json").write_text("{}")
    uploader = hub.Uploader(
        _saving(huggingface_path_in_repo="runs", async_upload=background), lambda key, sentence: pytest.fail(sentence)
    )
    uploader.prepare()
    uploader.upload(tmp_path / "cat.safetensors")
    uploader.upload(tmp_path / "cat-state")
    uploader.wait()
    made = fake.made[0]
    assert made["name"] == "lora" and (made.get("private") is True or made.get("visibility") == "private")
    assert fake.files == {"runs/cat.safetensors": b"weights", "runs/cat-state/train_state.json": b"{}"}


def test_a_state_is_fetched_from_the_place_that_is_given(fake: type[FakeHub]) -> None:
    fake.files.update({"runs/cat-state/train_state.json": b'{"current_step": 3}', "other.bin": b"not wanted"})
    folder = hub.download_state(_saving(resume="me/lora/runs/cat-state", resume_from_huggingface=True))
    assert json.loads((folder / "train_state.json").read_text()) == {"current_step": 3}
    assert not (folder.parents[1] / "other.bin").exists()


def test_a_wrong_token_is_said_before_training(fake: type[FakeHub]) -> None:
    saving = SavingConfig(huggingface_repo_id="me/lora", huggingface_token="wrong")
    with pytest.raises(hub.HubError) as caught:
        hub.Uploader(saving, lambda key, sentence: None).prepare()
    assert str(caught.value).startswith("huggingface_repo_id: me/lora can't be written to on Hugging Face (")
    assert str(caught.value).endswith("check the name and the token.") and "wrong" not in str(caught.value)


def test_a_failed_upload_does_not_end_the_training(fake: type[FakeHub], tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "cat.safetensors").write_bytes(b"weights")
    uploader = hub.Uploader(
        SavingConfig(huggingface_repo_id="me/lora", huggingface_token="wrong"),
        lambda key, sentence: said.append(sentence),
    )
    uploader.upload(tmp_path / "cat.safetensors")
    assert said and said[0].startswith("cat.safetensors could not be uploaded: ")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("me/lora/cat-state", hub.Place("me/lora", "cat-state")),
        ("me/lora/runs/cat-state:v2", hub.Place("me/lora", "runs/cat-state", "v2")),
        ("me/lora/runs/cat-state:main:dataset", hub.Place("me/lora", "runs/cat-state", "main", "dataset")),
    ],
)
def test_a_place(text: str, place: hub.Place) -> None:
    assert hub.parse_place(text) == place


@pytest.mark.parametrize("text", ["me/lora", "lora", "a/b/c:d:e:f"])
def test_what_is_no_place_is_said(text: str) -> None:
    with pytest.raises(hub.HubError) as caught:
        hub.parse_place(text)
    assert (
        str(caught.value)
        == f"resume: {text!r} is no place on Hugging Face; write it as name/repository/path:revision:kind."
    )
