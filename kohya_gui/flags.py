"""The app's options of the command line. Only the standard library is needed here: gui.py shows them before set-up."""

from __future__ import annotations

import argparse
from pathlib import Path

DEFAULT_PORT = 7860


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="gui.py", description="Trains Stable Diffusion LoRAs from the browser.", allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )  # fmt: skip
    _add_serving(made.add_argument_group("where the page is served"))
    _add_access(made.add_argument_group("who may come in, and what the app may touch"))
    _add_places(made.add_argument_group("where the app keeps things"))
    return made


def _add_serving(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--listen", metavar="ADDRESS",
        help="address to listen on; 0.0.0.0 for all (default: 127.0.0.1, this machine only)",
    )  # fmt: skip
    add("--server_port", type=int, metavar="PORT", help=f"port to listen on (default: {DEFAULT_PORT})")
    add("--inbrowser", action="store_true", help="open the page in this machine's browser")
    add("--headless", action="store_true", help="open no window on this machine, whatever else is asked for")
    add("--share", action="store_true", help="also make the page reachable over a public address of Gradio's")
    add("--root_path", metavar="PATH", help="path under which a proxy shows the page, such as /trainer")


def _add_access(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--username", metavar="NAME", help="ask visitors for this name")
    add("--password", metavar="PASSWORD", help="and for this password")
    add("--users", metavar="FILE", nargs="?", const="", help="ask for a name and password of this file of users")
    add("--add_user", metavar="NAME", help="ask for a password here, write the user to the file of users, and end")
    add("--no-auth", action="store_true", dest="no_auth", help="let anyone in who can reach the page")
    add(
        "--allow", metavar="FOLDER", action="append", help="let the app read and write this folder too; may be repeated"
    )


def _add_places(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--config", metavar="FILE", help="TOML file: [server] holds these options, [settings] what the form opens with")
    add("--runs", metavar="FOLDER", type=Path, help="where the folders of runs lie (default: outputs/runs)")
    add("--state", metavar="FOLDER", type=Path, help="where the app keeps its own settings (default: outputs/app)")
    add("--resume_lost", action="store_true", help="go on by itself with runs that were cut off")
