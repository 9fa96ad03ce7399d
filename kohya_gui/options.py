"""How the app is served: the options of the command line and of its configuration file."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sd_scripts.config import toml
from sd_scripts.errors import UserError

from .flags import DEFAULT_PORT, parser
from .runs.supervisor import ROOT
from .users import Users

LOOPBACK = ("127.0.0.1", "localhost", "::1")
STATE = ROOT / "outputs" / "app"
NOT_IN_FILES = ("settings", "add_user")


class BadOption(UserError):
    """The app can't be served as it was asked to."""


@dataclass(frozen=True)
class Options:
    """How the app is served.

    runs: where run folders lie. state: where the app keeps its own settings. users: a file of names and hashed
    passwords. allow: folders to read and write besides the usual ones. settings: what the form opens with, or None.
    """

    listen: str = LOOPBACK[0]
    server_port: int = DEFAULT_PORT
    inbrowser: bool = False
    share: bool = False
    username: str | None = None
    password: str | None = None
    users: Path | None = None
    add_user: str | None = None
    no_auth: bool = False
    headless: bool = False
    root_path: str | None = None
    runs: Path = ROOT / "outputs" / "runs"
    state: Path = STATE
    allow: tuple[Path, ...] = ()
    resume_lost: bool = False
    settings: dict[str, Any] | None = None

    @property
    def reachable(self) -> bool:
        """Whether others than this machine can reach the app."""
        return self.share or self.listen not in LOOPBACK

    @property
    def for_others(self) -> bool:
        """Whether it is meant for others too, perhaps behind a proxy: then nobody's own folder is open by itself."""
        return bool(self.reachable or self.root_path or self.users)

    @property
    def users_file(self) -> Path:
        return self.users or self.state / "users.txt"

    @property
    def asks(self) -> bool:
        """Whether there is a login."""
        return bool(self.username or self.users)

    def check(self) -> None:
        """Raises BadOption, BadUsers where the app would be open to strangers by oversight, or its port is taken."""
        if bool(self.username) != bool(self.password):
            missing, given = ("--password", "--username") if self.username else ("--username", "--password")
            raise BadOption(f"{given} needs {missing} too.")
        if self.username and self.users:
            raise BadOption("Give either --users or --username and --password, not both.")
        if self.users:
            Users(self.users).check()
        how = "--share" if self.share else f"--listen {self.listen}"
        if self.reachable and not self.asks and not self.no_auth:
            raise BadOption(
                f"With {how} others can reach the app, and whoever reaches it can run it; give --users (--add_user "
                "NAME adds one), or --username and --password, or --no-auth if that is meant."
            )
        for folder in self.allow:
            if not folder.is_dir():
                raise BadOption(f"--allow {folder} is no folder; name one that there is.")
        if not _port_is_free(self.listen, self.server_port):
            raise BadOption(
                f"Port {self.server_port} on {self.listen} is in use, perhaps by this app in another window; "
                f"end that program or choose another port with --server_port {self.server_port + 1}."
            )


def read_options(argv: Sequence[str] | None = None) -> Options:
    """The configuration file's options, over them the command line's. Raises BadOption, BadToml."""
    given = vars(parser().parse_args(argv))
    file = given.pop("config", None)
    content = toml.read(Path(file)) if file else {}
    unknown = content.keys() - {"server", "settings"}
    server = dict(content.get("server", {}))
    unknown |= server.keys() - (Options.__dataclass_fields__.keys() - set(NOT_IN_FILES))
    if unknown:
        raise BadOption(
            f"{file} holds {sorted(unknown)[0]!r}, which is no option; its sections are [server] and [settings]."
        )
    return Options(**_with_paths({**server, **given}), settings=content.get("settings"))


def _with_paths(options: dict[str, Any]) -> dict[str, Any]:
    """Paths are those of the folder in which the command was typed."""
    for name in ("runs", "state"):
        if name in options:
            options[name] = Path(options[name]).resolve()
    if options.get("users") is not None:
        state = options.get("state", STATE)
        options["users"] = Path(options["users"]).resolve() if options["users"] else state / "users.txt"
    if "allow" in options:
        named = [options["allow"]] if isinstance(options["allow"], str) else options["allow"]
        options["allow"] = tuple(Path(folder).resolve() for folder in named)
    return options


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
