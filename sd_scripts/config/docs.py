"""Writes docs/parameters.md from the schema: `python -m sd_scripts.config.docs`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .load import plain
from .schema import Parameter
from .train_config import all_parameters, groups

PAGE = Path(__file__).parents[2] / "docs" / "parameters.md"
SIGNS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def page() -> str:
    """The whole page; a test holds the file in docs/ against it."""
    lines = [
        "# Parameters",
        "",
        "Every setting of the trainer, by section of the form. The key is the name of the flag (`--key`) and of the",
        "entry in TOML files and presets. This page is made from the code by `python -m sd_scripts.config.docs`.",
    ]
    for attribute, group in groups().items():
        chosen = [p for p in all_parameters().values() if p.attribute == attribute]
        lines += ["", f"## {group.title}", "", "| Key | Value | Default | What it does |", "| --- | --- | --- | --- |"]
        lines += [row(parameter) for parameter in chosen]
    return "\n".join(lines) + "\n"


def row(parameter: Parameter) -> str:
    cells = (f"`{parameter.key}`", "; ".join(_values(parameter)), _default(parameter), " ".join(_words(parameter)))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _values(parameter: Parameter) -> Iterator[str]:
    names = {
        "bool": "yes/no",
        "int": "whole number",
        "float": "number",
        "str": "text",
        "list": "list",
        "secret": "text, kept secret",
    }
    yield ", ".join(f"`{choice}`" for choice in parameter.choices) or names.get(parameter.kind, "number or text")
    for name, limit in parameter.limits.items():
        yield f"{SIGNS[name]} {limit:g}"


def _default(parameter: Parameter) -> str:
    if parameter.default is None or parameter.default in ("", ()):
        return "not set"
    if isinstance(parameter.default, bool):
        return "yes" if parameter.default else "no"
    return f"`{plain(parameter.default)}`"


def _words(parameter: Parameter) -> Iterator[str]:
    yield " ".join(parameter.help.split())
    where = parameter.applies_to
    for allowed in (where.families, where.methods, where.adapters):
        if allowed is not None:
            yield f"Only for {', '.join(allowed)}."
    if parameter.aliases:
        yield f"Also read as {', '.join(f'`{name}`' for name in parameter.aliases)}."


def main() -> None:
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
