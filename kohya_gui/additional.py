"""Flags typed in as one text, as kohya_ss's `additional_parameters` has them: split as a shell does, then checked."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, ClassVar

from sd_scripts.config import load
from sd_scripts.config.schema import Group, Notice, Parameter, Problem, Ui, did_you_mean, parameters

KEY = "additional_parameters"
NOT_HERE = {
    "method": "choose it at the top of the form",
    "run_dir": "the app chooses it for each run",
    "config_file": "open that file as a preset instead",
    "output_config": "it trains nothing",
}
"""Flags of the command line that have no place in the form -> why, or what to do."""


class AdditionalConfig(Group):
    """What the form has beside the engine's settings. The engine gets what it stands for."""

    title: ClassVar[str] = "Additional parameters"

    additional_parameters: Annotated[str | None, Ui(lines=2)] = None
    """More settings as one writes them on a command line: --min_snr_gamma 5 --flip_aug. They win over the fields of
    the form and are checked like them."""


PARAMETER: Parameter = parameters(AdditionalConfig, "launch")[KEY]


@dataclass
class Parsed:
    """The settings that the text stands for, and what is wrong with it."""

    settings: dict[str, object] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def say(self, sentence: str) -> None:
        self.problems.append(Problem(KEY, sentence))


def parse(text: object) -> Parsed:
    made = Parsed()
    try:
        words = shlex.split(str(text or "").replace("\n", " "))
    except ValueError:
        made.say("A quotation mark is not closed; close it.")
        return made
    for flag, values in _flags(words, made):
        _take(flag, values, made)
    return made


def _flags(words: list[str], made: Parsed) -> Iterator[tuple[str, list[str]]]:
    """--flag and the words that belong to it. Words that begin with a dash and a digit are numbers."""
    flag, values = "", list[str]()
    for word in words:
        if word.startswith("--"):
            if flag:
                yield flag, values
            flag, equals, value = word[2:].partition("=")
            values = [value] if equals else []
        elif flag:
            values.append(word)
        else:
            made.say(f"{word!r} belongs to no flag; write --flag value.")
    if flag:
        yield flag, values


@cache
def _names() -> dict[str, str]:
    aliases = {alias: key for key, parameter in load.parameters().items() for alias in parameter.aliases}
    return {**aliases, **{key: key for key in load.parameters()}}


def _take(flag: str, values: list[str], made: Parsed) -> None:
    key = _names().get(flag)
    if flag in NOT_HERE:
        made.say(f"--{flag} has no place here; {NOT_HERE[flag]}.")
    elif key is None:
        made.say(f"There is no flag --{flag}.{did_you_mean(flag, _names())}")
    elif load.parameters()[key].kind == "secret":
        made.say(f"--{flag} is a secret; type it into its own field, which is never stored.")
    elif key in made.settings:
        made.say(f"--{flag} is given twice; keep one of them.")
    else:
        _read(load.parameters()[key], values, made)


def _read(parameter: Parameter, values: list[str], made: Parsed) -> None:
    if parameter.kind == "bool" and not values:
        made.settings[parameter.key] = True
    elif parameter.kind == "list":
        made.settings[parameter.key] = values[0] if len(values) == 1 else values
    elif len(values) == 1:
        made.settings[parameter.key] = values[0]
    else:
        wanted = "needs a value" if not values else f"takes one value and got {len(values)}; put quotation marks around"
        made.say(f"--{parameter.key} {wanted}.")


def moved(problem: Problem, parsed: Parsed) -> Problem:
    """A problem of a value that was typed in here is said here."""
    if problem.key not in parsed.settings:
        return problem
    return type(problem)(KEY, f"--{problem.key}: {problem.message}")


def overridden(settings: dict[str, object], parsed: Parsed) -> Iterator[Notice]:
    """Fields of the form that do not count, because their flag is given here too."""
    for key, value in parsed.settings.items():
        if key in settings and str(settings[key]) != str(value):
            yield Notice(key, f"It is {value} in the additional parameters, which counts.")
