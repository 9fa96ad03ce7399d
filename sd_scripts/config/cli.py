"""The command line: one flag for every parameter, checked like every other source of settings."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from . import left_out, load, toml
from .schema import Parameter, Problem, did_you_mean
from .train_config import TrainConfig, groups


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Flags named like their keys. Values stay texts here: types and ranges are checked with everything else."""
    made = argparse.ArgumentParser(prog=prog, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    made.add_argument("--config_file", metavar="FILE", help="TOML file of settings; flags given here win over it")
    made.add_argument("--output_config", action="store_true", help="print the settings as TOML and leave")
    for attribute, group in groups().items():
        section = made.add_argument_group(group.title)
        for parameter in load.parameters().values():
            if parameter.attribute == attribute:
                _add(section, parameter)
    for key in load.RATES_OF_TEXT_ENCODERS:
        made.add_argument(f"--{key}", metavar="FLOAT", help="one value of text_encoder_lr")
    for key in left_out.NAMES:
        made.add_argument(f"--{key}", nargs="?", const=True, help=argparse.SUPPRESS)
    return made


def _add(section: Any, parameter: Parameter) -> None:
    names = [f"--{name}" for name in (parameter.key, *parameter.aliases)]
    help_text = parameter.help.replace("%", "%%")
    if parameter.kind == "bool":
        section.add_argument(*names, dest=parameter.key, nargs="?", const=True, metavar="true|false", help=help_text)
    elif parameter.kind == "list":
        section.add_argument(*names, dest=parameter.key, nargs="*", metavar="VALUE", help=help_text)
    else:
        section.add_argument(*names, dest=parameter.key, metavar=parameter.kind.upper(), help=help_text)


Given = Mapping[str, object]


def read(argv: Sequence[str], fixed: Given | None = None, usual: Given | None = None) -> dict[str, Any]:
    """Flat settings: what is usual for the script, over it the TOML file's, the flags', and what the script fixes.

    Raises ConfigError, BadToml.
    """
    given, unknown = parser().parse_known_args(argv)
    flags = vars(given)
    if unknown:
        raise ConfigError([_unknown(word) for word in unknown if word.startswith("-")] or [_stray(unknown[0])])
    file = flags.pop("config_file", None)
    flags.pop("output_config", None)
    flags = {
        key: value[0] if isinstance(value, list) and len(value) == 1 else value for key, value in flags.items()
    }  # one text is split
    asked = {**(toml.read_flat(Path(file)) if file else {}), **flags}
    _check_script(asked, fixed or {})
    return {**(usual or {}), **asked, **(fixed or {})}


def _check_script(asked: Given, fixed: Given) -> None:
    """Raises ConfigError where a setting is another than the one that the script stands for."""
    others = [key for key in fixed if str(asked.get(key, fixed[key])).lower() != str(fixed[key]).lower()]
    if others:
        message = "It is {}, and this script stands for {}; leave it out, or use sd_scripts/train.py."
        raise ConfigError([Problem(key, message.format(asked[key], fixed[key])) for key in others])


def _unknown(word: str) -> Problem:
    name = word.lstrip("-").split("=")[0]
    known = [*load.parameters(), "config_file", "output_config"]
    return Problem(f"--{name}", f"There is no such flag.{did_you_mean(name, known)}")


def _stray(word: str) -> Problem:
    return Problem("", f"{word!r} belongs to no flag; a value that starts with a dash is written --flag=value.")


def note(notice: Problem) -> None:
    print(f"Note: {notice}", file=sys.stderr)


def parse(
    argv: Sequence[str],
    fixed: Given | None = None,
    usual: Given | None = None,
    say: Callable[[Problem], None] = note,
) -> TrainConfig:
    """Checked settings of a command line; notices are said. Raises ConfigError with every problem."""
    flat = read(argv, fixed, usual)
    loaded = load.from_flat(flat)
    for problem in loaded.problems:
        if not problem.stops:
            say(problem)
    config = loaded.unwrap()
    if "--output_config" in argv:
        print(toml.write_flat(load.to_flat(config)), end="")
        raise SystemExit(0)
    return config
