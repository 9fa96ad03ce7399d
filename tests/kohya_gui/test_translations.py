"""Every text of the app is in the table of every language, and nothing else is."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from kohya_gui import layout, texts, theme, tool_page
from sd_scripts.config import load
from sd_scripts.config.methods import METHODS
from sd_scripts.tools import TOOLS

GUI = Path(texts.__file__).parent
PRESETS = GUI.parent / "presets"
OTHERS = [name for name in texts.LANGUAGES if name != texts.ENGLISH]
SAME_EVERYWHERE = re.compile(r"[\W\d_]*|LoRA( Studio)?|TensorBoard|DreamBooth|VAE|U-Net|CLIP|[A-Z0-9+.-]{1,6}")
"""Names that are the same in every language need no entry."""


def called(source: str) -> Iterator[str]:
    """First arguments of `t(...)`, and what stands in constants named TEXTS."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name == "t":
                yield from words(node.args[0])
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(getattr(target, "id", "").endswith("TEXTS") for target in targets):
                yield from (text for inner in ast.walk(node.value) for text in words(inner))


def words(node: ast.AST) -> Iterator[str]:
    """A text, or the two texts of which a condition chooses."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from words(node.body)
        yield from words(node.orelse)


@cache
def needed() -> frozenset[str]:
    found = {text for file in GUI.rglob("*.py") for text in called(file.read_text(encoding="utf-8"))}
    found |= {
        text for file in theme.STATIC.glob("*.js") for text in theme.script_texts(file.read_text(encoding="utf-8"))
    }
    found |= {parameter.label for parameter in load.parameters().values() if layout.has_widget(parameter)}
    found |= {parameter.label for parameter in layout.shown_parameters()}
    found |= {section.title for section in layout.sections()} | {method.title for method in METHODS.values()}
    for tool in TOOLS.values():
        found |= {tool.title, tool.help, *(parameter.label for parameter in tool.parameters.values())}
    found |= {json.loads(file.read_text(encoding="utf-8"))["description"] for file in PRESETS.glob("*/*.json")}
    found |= {*theme.PAGES.values(), *tool_page.GROUPS, tool_page.OTHERS}
    found |= {part for part in re.findall(r">([^<>{}]+)<", theme.header("", "", can_leave=True)) if part.isascii()}
    found |= set(re.findall(r'(?:title|aria-label)="([^"]+)"', theme.header("", "")))
    return frozenset(
        text for text in found if not SAME_EVERYWHERE.fullmatch(text) and text not in texts.LANGUAGES.values()
    )


@pytest.mark.parametrize("language", OTHERS)
def test_no_text_is_missing(language: str) -> None:
    assert sorted(needed() - texts.table(language).keys()) == []


@pytest.mark.parametrize("language", OTHERS)
def test_no_text_of_the_table_is_unused(language: str) -> None:
    assert sorted(texts.table(language).keys() - needed()) == []


@pytest.mark.parametrize("language", OTHERS)
def test_the_same_values_are_put_into_a_translation(language: str) -> None:
    for english, text in texts.table(language).items():
        names = [sorted(re.findall(r"\{\w+\}", each)) for each in (english, text)]
        assert names[0] == names[1], english


@pytest.mark.parametrize("language", OTHERS)
def test_tables_are_sorted_and_say_nothing_twice(language: str) -> None:
    pairs = json.loads((texts.TABLES / f"{language}.json").read_text(encoding="utf-8"), object_pairs_hook=list)
    assert [key for key, _ in pairs] == sorted({key for key, _ in pairs})
