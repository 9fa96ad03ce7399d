"""Writes docs/tools.md from the tools' settings: `python -m sd_scripts.tools.docs`."""

from __future__ import annotations

from pathlib import Path

from ..config.docs import row
from ..config.schema import parameters
from . import TOOLS, Tool

PAGE = Path(__file__).parents[2] / "docs" / "tools.md"


def page() -> str:
    """The whole page; a test holds the file in docs/ against it."""
    lines = [
        "# Tools",
        "",
        "Work on files of networks and models: on the Tools page of the app, and as `python -m sd_scripts.tools NAME",
        "--key value`. This page is made from the code by `python -m sd_scripts.tools.docs`.",
    ]
    for tool in TOOLS.values():
        lines += ["", *_section(tool)]
    return "\n".join(lines) + "\n"


def _section(tool: Tool) -> list[str]:
    heading = [f"## {tool.title}: `{tool.name}`", "", tool.help, ""]
    rows = [row(parameter) for parameter in parameters(tool.settings).values()]
    understood = [f"`--{flag}` is understood and changes nothing: {why}" for flag, why in tool.idle.items()]
    rest = ["", *(line for text in understood for line in (text, ""))][:-1] if understood else []
    return [*heading, "| Key | Value | Default | What it does |", "| --- | --- | --- | --- |", *rows, *rest]


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
