"""What gui.py does: takes out its own options, sets up, and hands the rest to the app."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from setup.bootstrap import ROOT, Environment, Wanted, ensure, hand_over
from setup.console import SetupProblem, lenient_output

CHOICE = re.compile(r"auto|default|cpu|xpu|cu\d{3}|rocm\d+(\.\d+){1,2}|(https?|file)://\S+")


def torch_index(text: str) -> str:
    """Checks the value of --torch-index."""
    if not CHOICE.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text} is no PyTorch index: write auto, default, cpu, a name such as cu130 or rocm7.2, or a full address."
        )
    return text


def own_options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gui.py", description="Sets up on first use, then serves the app in the browser.", add_help=False,
        allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument(
        "--torch-index", type=torch_index, default="auto", metavar="INDEX",
        help="where PyTorch comes from: auto (what fits this machine), default (the index pip is set to), cpu, "
        "cu126, cu128, cu130, rocm7.2 and so on (PyTorch's own indexes), or a full address",
    )  # fmt: skip
    parser.add_argument("--reinstall", action="store_true", help="make the environment anew")
    parser.add_argument("--no-setup", action="store_true", help="use the Python that runs this, and install nothing")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Sets up and serves."""
    lenient_output()
    parser = own_options()
    own, rest = parser.parse_known_args(arguments)
    if "-h" in rest or "--help" in rest:
        return show_help(parser)
    environment = Environment()
    if not own.no_setup:
        python = ensured(Wanted(own.torch_index, reinstall=own.reinstall), environment)
        if not environment.is_active:
            hand_over(python, ROOT / "gui.py", rest)
    try:
        from kohya_gui.__main__ import main

        sys.exit(main(rest))
    except KeyboardInterrupt:
        sys.exit(130)


def show_help(own: argparse.ArgumentParser) -> None:
    from kohya_gui.flags import parser

    own.print_help()
    print("\nThe app's own options, which come after these:\n")
    print(parser().format_help().partition("\n\n")[2].partition("\n\n")[2])


def ensured(wanted: Wanted, environment: Environment) -> Path:
    """`ensure`, ending the program with a sentence where it can't go on."""
    try:
        return ensure(wanted, environment)
    except SetupProblem as problem:
        sys.exit(f"\n{problem}")
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command again to go on where it stopped.")
        sys.exit(130)
