"""Parameter -> widget. A new parameter gets its widget from its declaration: none is known here by name."""

from __future__ import annotations

from math import floor, log10
from typing import Any

import gradio as gr
from gradio.components import Component

from sd_scripts.config import load
from sd_scripts.config.methods import METHODS
from sd_scripts.config.schema import Parameter

from . import layout, places
from .texts import t
from .values import NO, NOT_SET, YES, holds_numbers, is_checkbox, is_number, shown


def method_choice(value: object) -> Component:
    """What is trained, at the top of the form."""
    return gr.Radio(
        [(method.title, method.name) for method in METHODS.values()],
        value=value,
        label=t("What to train"),
        info=hint(load.parameters()[layout.METHOD]),
        elem_id=f"p-{layout.METHOD}",
        elem_classes=["field"],
    )


def widget(parameter: Parameter, value: object) -> Component:
    """The component that edits the parameter, holding `value` (as the schema has it)."""
    common: dict[str, Any] = {
        "value": shown(parameter, value),
        "label": parameter.label,
        "info": hint(parameter),
        "elem_id": f"p-{parameter.key}",
        "interactive": True,
        "elem_classes": _classes(parameter),
    }
    if is_checkbox(parameter):
        return gr.Checkbox(**common)
    if parameter.kind in ("choice", "bool"):
        return gr.Dropdown(**common, choices=_choices(parameter), filterable=len(parameter.choices) > 8)
    if parameter.ui.choices:
        return gr.Dropdown(**common, choices=list(parameter.ui.choices), allow_custom_value=True)
    return gr.Textbox(
        **common,
        type="password" if parameter.kind == "secret" else "text",
        lines=parameter.ui.lines,
        max_lines=max(parameter.ui.lines, 12) if is_multiline(parameter) else 1,
        placeholder=_placeholder(parameter),
    )


def _classes(parameter: Parameter) -> list[str]:
    """The page's scripts go by what a class says: how far an arrow key steps a number, what path is wanted."""
    if is_number(parameter):
        return ["field", "number", f"step:{_step(parameter):g}"]
    wanted = places.wanted(parameter)
    return ["field", *(["wide"] if is_wide(parameter) else []), *([wanted] if wanted else [])]


def is_multiline(parameter: Parameter) -> bool:
    return parameter.ui.lines > 1 or parameter.kind == "list"


def is_wide(parameter: Parameter) -> bool:
    return (
        parameter.ui.lines > 1
        or parameter.ui.kind in ("file", "folder")
        or (parameter.kind == "list" and not holds_numbers(parameter))
    )


def hint(parameter: Parameter) -> str:
    """The help, and the key, which the page shows on demand."""
    return f"{' '.join(parameter.help.split())} `{parameter.key}`".lstrip()


def _placeholder(parameter: Parameter) -> str | None:
    if parameter.kind == "list":
        return "one a line" if parameter.ui.lines > 1 else None
    return "not set" if parameter.optional else None


def _step(parameter: Parameter) -> float:
    """How much an arrow key changes: what is declared, or one in the first digit of the default."""
    if parameter.ui.step is not None:
        return parameter.ui.step
    if parameter.kind == "int":
        return 1
    return (
        10.0 ** floor(log10(abs(parameter.default)))
        if isinstance(parameter.default, float) and parameter.default
        else 0.1
    )


def _choices(parameter: Parameter) -> list[tuple[str, Any]]:
    named = [(str(choice), choice) for choice in parameter.choices] or [(YES, YES), (NO, NO)]
    return [(NOT_SET, NOT_SET), *named] if parameter.optional else named
