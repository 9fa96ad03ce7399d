"""Settings as widgets hold them <-> settings as the schema takes them.

Numbers are text too: only so can an emptied field stay empty, a large seed exact, and a slip of the keyboard be named.
What is empty is "", a list is text with one item a line or, where that reads the same, all on one line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import ValidationError

from sd_scripts.config import load
from sd_scripts.config.schema import Parameter

NOT_SET, YES, NO = "not set", "yes", "no"


def is_checkbox(parameter: Parameter) -> bool:
    return parameter.kind == "bool" and not parameter.optional


def is_number(parameter: Parameter) -> bool:
    return parameter.kind in ("int", "float", "mixed")


def shown(parameter: Parameter, value: object) -> Any:
    """A value as its widget holds it."""
    if is_checkbox(parameter):
        return value
    if parameter.kind == "list":
        return _joined(parameter, value)
    if parameter.kind in ("bool", "choice"):
        return _choice(value)
    if value is None:
        return ""
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _choice(value: object) -> object:
    if value is None:
        return NOT_SET
    return value if not isinstance(value, bool) else (YES if value else NO)


def given(parameter: Parameter, value: Any) -> object:
    """What the widget holds as a value for the schema, which checks it. An emptied number is None, and 0 stays 0."""
    if parameter.kind == "list":
        return _items(value)
    if isinstance(value, str) and not value.strip() and (parameter.optional or parameter.kind != "str"):
        return None
    if value == NOT_SET and parameter.kind in ("bool", "choice"):
        return None
    if parameter.kind == "bool" and value in (YES, NO):
        return value == YES
    return _number(value) if is_number(parameter) else value


def _number(value: Any) -> object:
    """Text that is no number is left for the schema to complain about."""
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value.strip()


def typed(parameter: Parameter, value: object) -> object:
    """The value as the schema reads it, or the Problem that it has by itself, whatever the other settings are."""
    flat = {parameter.key: value}
    loaded = load.from_flat(flat)
    if loaded.config is not None:
        return loaded.config.value(parameter)
    try:
        return getattr(parameter.group.model_validate(flat), parameter.key)
    except ValidationError:
        return next(problem for problem in loaded.problems if problem.key == parameter.key)


def _joined(parameter: Parameter, value: object) -> str:
    """On one line where that is read the same, else one item a line."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return "" if value is None else str(value)
    if not value:
        return ""
    items = [str(item) for item in value]
    line = (", " if holds_numbers(parameter) else " ").join(items)
    return line if typed(parameter, line) == tuple(value) else "\n".join([*items, ""])


def _items(value: Any) -> object:
    """Several lines are a list; one line is left for the schema to split."""
    if not isinstance(value, str):
        return [] if value is None else value
    if "\n" not in value.strip(" "):
        return value.strip()
    return [line.strip() for line in value.splitlines() if line.strip()]


def holds_numbers(parameter: Parameter) -> bool:
    return any(inner is float or inner is int for inner in _inner_types(parameter.annotation))


def _inner_types(annotation: Any) -> Iterator[Any]:
    for inner in get_args(annotation):
        yield inner
        yield from _inner_types(inner)


def settings(parameters: Sequence[Parameter], values: Sequence[Any]) -> dict[str, object]:
    """key -> value for all widgets that do not show their default. Secrets are left out."""
    pairs = [(parameter, given(parameter, value)) for parameter, value in zip(parameters, values, strict=True)]
    return {p.key: value for p, value in pairs if p.kind != "secret" and not is_default(p, value)}


def secrets(parameters: Sequence[Parameter], values: Sequence[Any]) -> dict[str, str]:
    """key -> secret for those that were typed in."""
    pairs = zip(parameters, values, strict=True)
    return {p.key: str(value).strip() for p, value in pairs if p.kind == "secret" and str(value or "").strip()}


def is_default(parameter: Parameter, value: object) -> bool:
    """0, False and "not set" are three different values."""
    if parameter.kind == "list":
        value = typed(parameter, value)
    return bool(value == parameter.default) and isinstance(value, bool) == isinstance(parameter.default, bool)


def widget_values(parameters: Sequence[Parameter], flat: Mapping[str, object]) -> list[Any]:
    """What each widget shows for these settings; keys that are not among them show their default."""
    return [shown(parameter, flat.get(parameter.key, parameter.default)) for parameter in parameters]
