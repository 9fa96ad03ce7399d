"""A tool: settings, and a function that does one thing with them. The command line and the page are made from this."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from ..config import load
from ..config.schema import Group, Notice, Parameter, Problem, did_you_mean, parameters
from ..errors import ConfigError, UserError
from .progress import MARK

DONE, REFUSED, STOPPED = 0, 2, 130
Say = Callable[[str], None]


@dataclass(frozen=True)
class Tool:
    """settings: what can be set. function: `module:name`, called with the settings and `say`, which takes lines of
    text.

    help: what the tool does, in a sentence or two. folder: where in sd_scripts its own command lies.
    positional: settings that the command line also takes without a flag.
    idle: flags that people know from elsewhere and that have no effect here -> why, which is said when one is given.
    """

    name: str
    title: str
    help: str
    settings: type[Group]
    function: str
    folder: str = "networks"
    positional: tuple[str, ...] = ()
    idle: Mapping[str, str] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, Parameter]:
        return parameters(self.settings)

    def read(self, flat: Mapping[str, object]) -> tuple[Group, list[Problem]]:
        """Checked settings, and notices about them. Raises ConfigError with every problem."""
        values, problems = self._known(flat)
        try:
            settings = self.settings.model_validate(values)
        except ValidationError as error:
            raise ConfigError([*problems, *load.sentences(error, self.parameters)]) from None
        problems += settings.relations()
        stopping = [problem for problem in problems if problem.stops]
        if stopping:
            raise ConfigError(stopping)
        return settings, problems

    def _known(self, flat: Mapping[str, object]) -> tuple[dict[str, object], list[Problem]]:
        known: dict[str, object] = {}
        problems: list[Problem] = []
        for key, value in flat.items():
            if key in self.parameters:
                known[key] = load.present(self.parameters[key], value)
            elif key in self.idle:
                problems.append(Notice(key, self.idle[key]))
            else:
                problems.append(Problem(key, f"There is no such setting.{did_you_mean(key, self.parameters)}"))
        return known, problems

    def run(self, settings: Group, say: Say) -> None:
        """Does the work. Raises UserError."""
        module, _, name = self.function.partition(":")
        getattr(import_module(module), name)(settings, say)


def main(tool: Tool, argv: Sequence[str] | None = None) -> int:
    """A tool as a command: 0 when it is done, 2 when whoever called it can put something right, 130 when stopped."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # half-written files are removed on the way out
    try:
        settings, notices = tool.read(flags(tool, sys.argv[1:] if argv is None else argv))
        for notice in notices:
            print(f"Note: {notice}", file=sys.stderr)
        tool.run(settings, say)
        return DONE
    except KeyboardInterrupt:
        print("Stopped; no half-written file is left.", file=sys.stderr, flush=True)
        return STOPPED
    except UserError as error:
        for line in error.problems if isinstance(error, ConfigError) else [error]:
            print(f"Error: {line}", file=sys.stderr, flush=True)
        return REFUSED


def say(line: str) -> None:
    """In a terminal, progress stays on one line."""
    stays = line.startswith(MARK) and sys.stdout.isatty()
    print(line, end="\r" if stays else "\n", flush=True)


def flags(tool: Tool, argv: Sequence[str]) -> dict[str, Any]:
    """The command line as flat settings, which are not checked yet. Raises ConfigError for flags that don't exist."""
    given, rest = _parser(tool).parse_known_args(list(argv))
    flat = {key: _one_text_is_split(value) for key, value in vars(given).items()}
    for word in rest:
        free = next((key for key in tool.positional if key not in flat), None)
        if word.startswith("-"):
            near = did_you_mean(word.lstrip("-"), tool.parameters)
            raise ConfigError([Problem(word.split("=")[0], f"There is no such flag.{near}")])
        elif free is None:
            raise ConfigError([Problem("", f"{word!r} belongs to no flag; give every value after the flag it is for.")])
        else:
            flat[free] = word
    return flat


def _one_text_is_split(value: Any) -> Any:
    """A list that is given as one text, which is how values that begin with a dash are given."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _parser(tool: Tool) -> argparse.ArgumentParser:
    """Values stay texts here: types and ranges are checked with everything else."""
    made = argparse.ArgumentParser(description=tool.help, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for key, parameter in tool.parameters.items():
        names = [f"--{name}" if len(name) > 1 else f"-{name}" for name in (key, *parameter.aliases)]
        options: dict[str, Any] = {"dest": key, "help": " ".join(parameter.help.split()).replace("%", "%%")}
        if parameter.kind == "bool" and tool.positional:
            made.add_argument(*names, action="store_true", **options)  # it must not swallow the word after it
        elif parameter.kind == "bool":
            made.add_argument(*names, nargs="?", const=True, metavar="true|false", **options)
        elif parameter.kind == "list":
            made.add_argument(*names, nargs="*", metavar="VALUE", **options)
        else:
            made.add_argument(*names, metavar=parameter.kind.upper(), **options)
    for name, why in tool.idle.items():
        words = f"accepted, without effect: {why}"
        if tool.positional:
            made.add_argument(f"--{name}", action="store_true", help=words)
        else:
            made.add_argument(f"--{name}", nargs="?", const=True, metavar="VALUE", help=words)
    return made
