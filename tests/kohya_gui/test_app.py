"""How the app is started, who is let in, and what its plain routes give out."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from kohya_gui import app, flags, live
from kohya_gui.__main__ import addresses
from kohya_gui.options import BadOption, Options, read_options
from kohya_gui.runs.store import RunStore
from kohya_gui.runs.supervisor import Supervisor
from kohya_gui.tensorboard import TensorBoard
from sd_scripts.errors import UserError

# Options


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def refused(*argv: str) -> str:
    with pytest.raises(UserError) as error:
        read_options(argv).check()
    return str(error.value)


def test_the_defaults_listen_on_this_machine_only() -> None:
    options = read_options([])
    assert (options.listen, options.server_port, options.share, options.inbrowser) == ("127.0.0.1", 7860, False, False)


def test_every_option_has_a_flag() -> None:
    named = {action.dest for action in flags.parser()._actions} - {"help", "config"}
    assert named == Options.__dataclass_fields__.keys() - {"settings"}


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert refused("--server_port", str(port)) == (
            f"Port {port} on 127.0.0.1 is in use, perhaps by this app in another window; "
            f"end that program or choose another port with --server_port {port + 1}."
        )


@pytest.mark.parametrize("how", [["--listen", "0.0.0.0"], ["--share"]])
def test_the_app_is_not_opened_to_strangers_by_oversight(how: list[str], free_port: int) -> None:
    assert refused(*how, "--server_port", str(free_port)) == (
        f"With {' '.join(how)} others can reach the app, and whoever reaches it can run it; "
        "give --users (--add_user NAME adds one), or --username and --password, or --no-auth if that is meant."
    )
    read_options([*how, "--server_port", str(free_port), "--no-auth"]).check()
    read_options([*how, "--server_port", str(free_port), "--username", "me", "--password", "secret"]).check()


@pytest.mark.parametrize(("listen", "shown"), [
    ("127.0.0.1", ["http://127.0.0.1:81"]),
    ("::1", ["http://[::1]:81"]),
    ("0.0.0.0", ["http://127.0.0.1:81", f"http://{socket.gethostname()}:81"]),
])  # fmt: skip
def test_the_addresses_can_be_typed_into_a_browser(listen: str, shown: list[str]) -> None:
    options = Options(listen=listen, server_port=81)
    assert addresses(options) == shown
    assert addresses(options, "https://a.gradio.live") == [*shown, "https://a.gradio.live"]


@pytest.mark.parametrize(("options", "expected"), [
    ([], False),
    (["--username", "me", "--password", "secret"], False),
    (["--users"], True),
    (["--root_path", "/trainer"], True),
    (["--listen", "0.0.0.0"], True),
])  # fmt: skip
def test_nobodys_own_folder_is_open_where_the_app_is_meant_for_others(options: list[str], expected: bool) -> None:
    assert read_options(options).for_others == expected


def test_a_name_without_a_password_is_refused() -> None:
    assert refused("--username", "me") == "--username needs --password too."
    assert refused("--password", "secret") == "--password needs --username too."


def test_a_file_can_hold_the_options_and_the_command_line_wins(tmp_path: Path) -> None:
    file = tmp_path / "gui.toml"
    file.write_text("[server]\nserver_port = 8001\ninbrowser = true\n[settings]\nnetwork_dim = 64\n")
    options = read_options(["--config", str(file), "--server_port", "8002"])
    assert (options.server_port, options.inbrowser, options.settings) == (8002, True, {"network_dim": 64})
    assert app.opening(options).settings == {"network_dim": 64}


def test_an_option_that_is_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "gui.toml"
    file.write_text("[server]\nport = 1\n")
    with pytest.raises(BadOption) as error:
        read_options(["--config", str(file)])
    assert str(error.value) == f"{file} holds 'port', which is no option; its sections are [server] and [settings]."


# Routes


@pytest.fixture
def served(store: RunStore, supervisor: Supervisor) -> Iterator[tuple[TestClient, Any]]:
    server = FastAPI(routes=live.router(store, supervisor, TensorBoard()).routes)
    server.__dict__.update(auth=None, auth_dependency=None, tokens={}, cookie_id="id")
    with TestClient(server) as client:
        yield client, server


def test_a_run_is_told_in_parts_that_changed(served: tuple[TestClient, Any], write_run: Callable[..., str]) -> None:
    client, _ = served
    run = write_run(
        {"kind": "step", "step": 1, "loss": 0.5, "lr": {}},
        {"kind": "sample", "step": 1, "index": 0, "file": "samples/a.png"},
    )
    first = client.get(f"/live/runs/{run}/state").json()
    assert [point[:2] for point in first["curve"]["points"]] == [[1, 0.5]]
    assert [sample["file"] for sample in first["samples"]] == ["samples/a.png"]
    known = {"generation": first["curve"]["generation"], "points": 1, "samples": 1, "log": first["log"]["size"]}
    again = client.get(f"/live/runs/{run}/state", params=known).json()
    assert "samples" not in again and "log" not in again
    assert client.get("/live/runs").json()["runs"][0]["id"] == run


def test_a_run_that_is_not_there_is_not_found(served: tuple[TestClient, Any]) -> None:
    client, _ = served
    assert client.get("/live/runs/nothing/state").status_code == 404
    assert client.get("/live/runs/..%2f..%2fetc/state").status_code == 404
    assert client.get("/live/runs/nothing/samples/x.png").status_code == 404


def test_files_outside_the_samples_are_not_given_out(
    served: tuple[TestClient, Any], write_run: Callable[..., str]
) -> None:
    client, _ = served
    run = write_run({"kind": "step", "step": 1})
    for file in ("..%2fconfig.toml", "..%2f..%2f..%2fsecret.png", "config.toml"):
        assert client.get(f"/live/runs/{run}/samples/{file}").status_code == 404


def test_another_sites_page_can_stop_nothing(served: tuple[TestClient, Any], write_run: Callable[..., str]) -> None:
    client, _ = served
    run = write_run({"kind": "step", "step": 1})
    assert client.post(f"/live/runs/{run}/ask/stop").status_code == 403
    answer = client.post(f"/live/runs/{run}/ask/stop", headers={"x-live": "1"})
    assert (answer.status_code, answer.json()) == (409, {"error": f"{run} is not running any more."})


@pytest.mark.parametrize(
    "path", ["/live/runs", "/live/runs/a-run/state", "/live/runs/a-run/samples/a.png", "/live/tensorboard/ui/"]
)
def test_where_a_login_is_asked_for_the_routes_ask_too(
    served: tuple[TestClient, Any], write_run: Callable[..., str], path: str
) -> None:
    client, server = served
    run = write_run({"kind": "step", "step": 1})
    server.__dict__.update(auth={"me": "secret"}, tokens={"token": "me"})
    assert client.get(path.replace("a-run", run)).status_code == 401
    client.cookies.set("access-token-unsecure-id", "token")
    assert client.get(path.replace("a-run", run)).status_code != 401
