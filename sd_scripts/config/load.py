"""Flat settings -> `TrainConfig`: names, then types and ranges, then relations; all problems at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr, ValidationError

from ..errors import ConfigError
from . import left_out
from .schema import Group, Notice, Parameter, Problem, did_you_mean
from .train_config import TrainConfig, all_parameters, groups

parameters = all_parameters


@dataclass(frozen=True)
class Loaded:
    """The settings, where they can be trained with, and everything to be said about them."""

    config: TrainConfig | None
    problems: list[Problem]

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.stops]

    def unwrap(self) -> TrainConfig:
        """The settings. Raises ConfigError with every problem where there are any."""
        if self.config is None:
            raise ConfigError(self.errors)
        return self.config


RATES_OF_TEXT_ENCODERS = ("learning_rate_te1", "learning_rate_te2")
"""Keys of sd-scripts' SDXL trainer for what is one list here, text_encoder_lr."""


def joined(flat: Mapping[str, object]) -> dict[str, object]:
    """The settings with those two rates as one list; where one is missing, the common rate stands for it."""
    given = [flat.get(key) for key in RATES_OF_TEXT_ENCODERS]
    rest = {key: value for key, value in flat.items() if key not in RATES_OF_TEXT_ENCODERS}
    if "text_encoder_lr" in flat:
        return dict(flat)  # where both are given, the names of the parts are told as unknown
    if all(rate in (None, "") for rate in given):
        return rest
    common = flat.get("learning_rate", parameters()["learning_rate"].default)
    return {**rest, "text_encoder_lr": [common if rate in (None, "") else rate for rate in given]}


def from_flat(flat: Mapping[str, object], *, strict: bool = True) -> Loaded:
    """`strict`: an unknown key is a Problem (command line, TOML), else a Notice (presets, which may be of any age)."""
    known, problems = _known(flat, strict)
    checked: dict[str, Group] = {}
    for attribute, group in groups().items():
        values = {key: value for key, value in known.items() if parameters()[key].attribute == attribute}
        try:
            checked[attribute] = group.model_validate(values)
        except ValidationError as error:
            problems += sentences(error, parameters())
    if len(checked) < len(groups()):
        return Loaded(None, [*problems, *(problem for group in checked.values() for problem in group.relations())])
    config = TrainConfig(**checked)
    problems += config.relations()
    return Loaded(None if any(problem.stops for problem in problems) else config, problems)


def to_flat(config: TrainConfig, *, all: bool = False, secrets: bool = False) -> dict[str, object]:
    """The settings that differ from their defaults, or all of them; secrets only where asked for."""
    values = {
        key: config.value(parameter) for key, parameter in parameters().items() if secrets or parameter.kind != "secret"
    }
    return {key: plain(value) for key, value in values.items() if all or value != parameters()[key].default}


def plain(value: object) -> object:
    """As JSON and TOML hold it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return list(value) if isinstance(value, tuple) else value


def _known(flat: Mapping[str, object], strict: bool) -> tuple[dict[str, object], list[Problem]]:
    """Values under their present names; an empty text stands for "not set" where there is such a thing."""
    names = {alias: key for key, parameter in parameters().items() for alias in parameter.aliases}
    known: dict[str, object] = {}
    called: dict[str, str] = {}
    problems: list[Problem] = []
    for given, meant, value in left_out.translated(joined(flat)):
        key = names.get(meant, meant)
        if key in left_out.WITHOUT_EFFECT:
            problems.append(Notice(key, left_out.WITHOUT_EFFECT[key]))
        elif key not in parameters():
            kind = Problem if strict else Notice
            unknown = f"There is no such setting.{did_you_mean(given, [*parameters(), *names])}"
            problems.append(kind(given, left_out.REFUSED.get(given, unknown)))
        elif key in known and known[key] != value:
            name = given if given != key else called[key]
            problems.append(Problem(key, f"It is given twice with different values, once as {name}; keep one of them."))
        else:
            known[key], called[key] = present(parameters()[key], value), given
    return known, problems


def present(parameter: Parameter, value: object) -> object:
    """A value as its group reads it: an empty text is "not set", the text of a choice is the choice."""
    if isinstance(value, str) and not value.strip() and (parameter.optional or parameter.kind == "list"):
        return () if parameter.kind == "list" and not parameter.optional else None
    if value is None and parameter.kind == "list" and not parameter.optional:
        return ()
    if parameter.kind == "choice":
        return next((choice for choice in parameter.choices if str(choice) == str(value).strip()), value)
    return value.strip() if isinstance(value, str) and parameter.kind not in ("str", "list") else value


def sentences(error: ValidationError, known: Mapping[str, Parameter]) -> list[Problem]:
    """One sentence a key, however many ways of reading the value failed. known: the validated group's parameters."""
    by_key: dict[str, list[Any]] = {}
    for detail in error.errors(include_url=False):
        by_key.setdefault(str(detail["loc"][0]), []).append(detail)
    return [Problem(key, _sentence(known[key], details)) for key, details in by_key.items()]


def _sentence(parameter: Parameter, details: list[Any]) -> str:
    value = "a secret" if parameter.kind == "secret" else repr(plain(details[0]["input"]))
    for detail in details:
        limit = _limit(detail)
        if limit:
            return f"{value} is out of range; it must be {limit}."
        if detail["type"] == "value_error":
            return str(detail["ctx"]["error"])
    if details[0]["input"] in (None, ""):
        return f"It is empty; give {_wanted(parameter)}."
    if parameter.kind == "list" and details[0]["type"].endswith("_parsing"):  # one of its items
        return f"{value} is not a number."
    return f"{value} is not {_wanted(parameter)}.{_near_choice(parameter, details[0]['input'])}"


LIMITS = {
    "greater_than_equal": ("ge", "at least"), "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"), "less_than": ("lt", "less than"),
}  # fmt: skip


def _limit(detail: Any) -> str | None:
    if detail["type"] not in LIMITS:
        return None
    name, words = LIMITS[detail["type"]]
    return f"{words} {detail['ctx'][name]:g}"


def _wanted(parameter: Parameter) -> str:
    if parameter.kind == "choice":
        return "one of " + ", ".join(map(str, parameter.choices))
    words = {
        "bool": "true or false",
        "int": "a whole number",
        "float": "a number",
        "list": "a list",
        "str": "a text",
        "secret": "a text",
    }
    return words.get(parameter.kind, "a value of the right kind")


def _near_choice(parameter: Parameter, value: object) -> str:
    words = [choice for choice in parameter.choices if isinstance(choice, str)]
    return did_you_mean(str(value), words)
