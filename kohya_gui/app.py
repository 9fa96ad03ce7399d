"""The web app: `main` reads its options, builds the page and serves it until it is told to end."""

from __future__ import annotations

import argparse
import atexit
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from sd_scripts.config import toml
from sd_scripts.errors import UserError
from sd_scripts.tools import TOOLS

from . import dataset_page, live, presets, runs_page, texts, theme, tool_page, train_page
from .delivery import Delivery
from .runs.store import RunStore
from .runs.supervisor import ENGINE, ROOT, Supervisor
from .tensorboard import TensorBoard

TITLE = "LoRA Studio"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
DEFAULT_PORT = 7860
PRESETS = ROOT / "presets"
DEMO = PRESETS / "lora" / "demo.json"


class BadOption(UserError):
    """The app can't be served as it was asked to."""


@dataclass(frozen=True)
class Options:
    """How the app is served. runs: where run folders lie. settings: what the form opens with, or None for the demo."""

    listen: str = LOOPBACK[0]
    server_port: int = DEFAULT_PORT
    inbrowser: bool = False
    share: bool = False
    username: str | None = None
    password: str | None = None
    no_auth: bool = False
    headless: bool = False
    root_path: str | None = None
    runs: Path = ROOT / "outputs" / "runs"
    resume_lost: bool = False
    settings: dict[str, Any] | None = None

    def check(self) -> None:
        """Raises BadOption where the app would be open to strangers by oversight, or its port is taken."""
        if bool(self.username) != bool(self.password):
            missing, given = ("--password", "--username") if self.username else ("--username", "--password")
            raise BadOption(f"{given} needs {missing} too.")
        reachable = self.share or self.listen not in LOOPBACK
        how = "--share" if self.share else f"--listen {self.listen}"
        if reachable and not self.username and not self.no_auth:
            raise BadOption(
                f"With {how} others can reach the app, and whoever reaches it can run it; "
                "give --username and --password, or --no-auth if that is meant."
            )
        if not _port_is_free(self.listen, self.server_port):
            raise BadOption(
                f"Port {self.server_port} on {self.listen} is in use, perhaps by this app in another window; "
                f"end that program or choose another port with --server_port {self.server_port + 1}."
            )


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="gui.py", description="Trains Stable Diffusion LoRAs from the browser.", argument_default=argparse.SUPPRESS
    )
    made.add_argument(
        "--config", metavar="FILE", help="TOML file: [server] holds these options, [settings] what the form opens with"
    )
    made.add_argument(
        "--listen",
        metavar="ADDRESS",
        help="address to listen on; 0.0.0.0 for all (default: 127.0.0.1, this machine only)",
    )
    made.add_argument("--server_port", type=int, metavar="PORT", help=f"port to listen on (default: {DEFAULT_PORT})")
    made.add_argument("--inbrowser", action="store_true", help="open the page in this machine's browser")
    made.add_argument(
        "--share", action="store_true", help="also make the page reachable over a public address of Gradio's"
    )
    made.add_argument("--username", metavar="NAME", help="ask visitors for this name")
    made.add_argument("--password", metavar="PASSWORD", help="and for this password")
    made.add_argument("--no-auth", action="store_true", dest="no_auth", help="let anyone in who can reach the page")
    made.add_argument(
        "--headless", action="store_true", help="open no window on this machine, whatever else is asked for"
    )
    made.add_argument("--root_path", metavar="PATH", help="path under which a proxy shows the page, such as /trainer")
    made.add_argument(
        "--runs", metavar="FOLDER", type=Path, help="where the folders of runs lie (default: outputs/runs)"
    )
    made.add_argument(
        "--resume_lost", action="store_true", help="go on by itself with runs that a kill or a power loss has cut off"
    )
    return made


def read_options(argv: Sequence[str] | None = None) -> Options:
    """The configuration file's options, over them the command line's. Raises BadOption, BadToml."""
    given = vars(parser().parse_args(argv))
    file = given.pop("config", None)
    content = toml.read(Path(file)) if file else {}
    unknown = content.keys() - {"server", "settings"}
    server = dict(content.get("server", {}))
    unknown |= server.keys() - (Options.__dataclass_fields__.keys() - {"settings"})
    if unknown:
        raise BadOption(
            f"{file} holds {sorted(unknown)[0]!r}, which is no option; its sections are [server] and [settings]."
        )
    merged = {**server, **given}
    if "runs" in merged:
        merged["runs"] = Path(merged["runs"]).resolve()
    return Options(**merged, settings=content.get("settings"))


def _port_is_free(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def opening(options: Options) -> presets.Preset:
    """What the form shows at first."""
    if options.settings is not None:
        return presets.checked("", "The settings of the configuration file.", options.settings)
    return presets.read(DEMO) if DEMO.is_file() else presets.Preset("", "", {})


def build(train: train_page.TrainPage) -> gr.Blocks:
    with texts.building():
        with gr.Blocks(title=TITLE, fill_width=True, analytics_enabled=False) as page:
            _top("")
            train_page.build(train)
        with page.route("Dataset", "/dataset"):
            _top("dataset")
            dataset_page.build()
        with page.route("Runs", "/runs"):
            _top("runs")
            runs_page.build()
        with page.route("Tools", "/tools"):
            _top("tools")
            for tool in TOOLS.values():
                tool_page.build(tool)
    return page


def _top(path: str) -> None:
    """Our own line of links is lighter than Gradio's, and there on a phone too."""
    gr.Navbar(visible=False, main_page_name=theme.PAGES[""])
    gr.HTML(theme.header(TITLE, path), elem_id="top")


def heads() -> dict[str, Callable[[str], str]]:
    return {path: partial(theme.head, path) for path in theme.FILES}


def serve(options: Options, engine: Sequence[str] = ENGINE) -> gr.Blocks:
    """Builds and launches the app; returns while it is being served."""
    store = RunStore(options.runs)
    supervisor = Supervisor(store, engine)
    supervisor.serve(resume_lost=options.resume_lost)
    board = TensorBoard()
    atexit.register(board.stop)
    train = train_page.TrainPage(supervisor, PRESETS, opening(options), options.settings is not None)
    page = build(train)
    page.launch(
        server_name=options.listen,
        server_port=options.server_port,
        share=options.share,
        inbrowser=options.inbrowser and not options.headless,
        auth=(options.username, options.password) if options.username and options.password else None,
        root_path=options.root_path,
        app_kwargs={
            "routes": [*live.router(store, supervisor, board).routes, *dataset_page.router().routes],
            "middleware": [Middleware(Delivery, heads())],
        },
        prevent_thread_lock=True,
        show_error=True,
        quiet=True,
        ssr_mode=False,
        footer_links=[],
        theme=theme.calm(),
        css=theme.text("style.css"),
    )
    return page


def main(argv: Sequence[str] | None = None, *, engine: Sequence[str] = ENGINE) -> int:
    """Serves the app until Ctrl-C; returns the exit code."""
    try:
        options = read_options(argv)
        options.check()
        os.chdir(ROOT)  # so that relative paths mean the same here and in the engine
        page = serve(options, engine)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    if options.no_auth and options.listen not in LOOPBACK:
        print(
            "Warning: everyone who can reach this machine can use the app, because --no-auth is given.", file=sys.stderr
        )
    print(f"Serving on {page.local_url}" + (f" and {page.share_url}" if page.share_url else ""), flush=True)
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    try:
        over.wait()
    except KeyboardInterrupt:
        pass
    finally:
        page.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
