"""`python -m kohya_gui`, which gui.py does once there is an environment: reads the options and serves until Ctrl-C."""

from __future__ import annotations

import gc
import getpass
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sd_scripts.errors import UserError

from .options import LOOPBACK, BadOption, Options, read_options
from .runs.supervisor import ENGINE, ROOT
from .users import Users


def main(argv: Sequence[str] | None = None, *, engine: Sequence[str] = ENGINE) -> int:
    """Returns the exit code. Wrong options are told at once: what takes long to import comes after them."""
    try:
        options = read_options(argv)
        if options.add_user:
            return add_user(options)
        options.check()
        return serve(options, engine)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def add_user(options: Options) -> int:
    """Asks for the password here, where nobody else can read it."""
    password = getpass.getpass(f"Password for {options.add_user}: ")
    if password != getpass.getpass("The same again: "):
        raise BadOption("The two passwords differ; nobody was added.")
    Users(options.users_file).add(str(options.add_user), password)
    print(f"{options.add_user} is in {options.users_file}; start the app with --users {options.users_file}")
    return 0


def serve(options: Options, engine: Sequence[str]) -> int:
    os.chdir(ROOT)  # so that relative paths mean the same here and in the engine
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    with nothing_collected():
        from . import app

        page = app.serve(options, engine)
    if options.no_auth and options.reachable:
        print(
            "Warning: everyone who can reach this machine can use the app, because --no-auth is given.", file=sys.stderr
        )
    try:
        print(f"Serving on {' and '.join(addresses(options, page.share_url))}", flush=True)
        print("Ctrl-C ends the app; what is being trained goes on.", flush=True)
        over.wait()
    except KeyboardInterrupt:
        pass
    finally:
        page.close(verbose=False)
    return 0


@contextmanager
def nothing_collected() -> Iterator[None]:
    """What is imported and built stays. Looking for garbage in it takes an eighth of the start, and in what runs
    afterwards time and again."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def addresses(options: Options, shared: str | None = None) -> list[str]:
    """What to type into a browser: here, elsewhere, anywhere."""
    names = [LOOPBACK[0], socket.gethostname()] if options.listen in ("0.0.0.0", "::") else [options.listen]  # noqa: S104
    hosts = [f"[{name}]" if ":" in name else name for name in names]
    return [*(f"http://{host}:{options.server_port}" for host in hosts), *([shared] if shared else [])]


if __name__ == "__main__":
    sys.exit(main())
