"""What the engine says reaches a visitor in the visitor's own language."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from kohya_gui import sentences, texts
from sd_scripts.config import load

ROOT = Path(__file__).parents[2]
ROOMS = ("kohya_gui", "sd_scripts/config", "sd_scripts/curation", "sd_scripts/data", "sd_scripts/families")
OTHERS = [name for name in texts.LANGUAGES if name != texts.ENGLISH]


@pytest.mark.parametrize(("english", "german"), [
    ("-1.0 is out of range; it must be at least 0.", "-1.0 liegt außerhalb des Bereichs; es muss mindestens 0 sein."),
    ("'x' is not one of a, b.", "'x' gibt es hier nicht; möglich sind a, b."),
    ("'x' is not one of a, b. Did you mean b?", "'x' gibt es hier nicht; möglich sind a, b. War b gemeint?"),
    ("The folder /a (b) does not exist; check its name.", "Den Ordner /a (b) gibt es nicht; den Namen prüfen."),
    ("Nobody has said this.", "Nobody has said this."),
])  # fmt: skip
def test_a_sentence_is_recognized_by_its_words(english: str, german: str) -> None:
    assert sentences.shown(english) == english
    with texts.speaking("de"):
        assert sentences.shown(english) == german


@pytest.mark.parametrize("language", OTHERS)
def test_a_wrong_value_is_told_in_every_language(language: str) -> None:
    problems = load.from_flat({"learning_rate": "fast", "network_dim": "many", "max_train_steps": -1}).problems
    with texts.speaking(language):
        assert all(sentences.shown(problem.message) != problem.message for problem in problems)


def test_every_entry_holds_all_languages_and_only_blanks_of_its_own() -> None:
    for english, others in sentences.table().items():
        assert sorted(others) == sorted(OTHERS)
        for text in others.values():
            assert set(sentences.BLANK.findall(text)) <= set(sentences.BLANK.findall(english)), text


@cache
def said() -> list[re.Pattern[str]]:
    """The sentences of the code, their values left open."""
    files = [file for room in ROOMS for file in (ROOT / room).glob("**/*.py")] + [ROOT / "sd_scripts" / "plan.py"]
    found = {text for file in files for text in _texts(ast.parse(file.read_text(encoding="utf-8")))}
    return [re.compile(text, re.DOTALL) for text in found if len(text) > 12 or re.match(r"[A-Z]\w{3}", text)]


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(re.escape(str(v.value)) if isinstance(v, ast.Constant) else ".*" for v in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield re.escape(node.value)


def test_no_entry_is_of_a_sentence_that_nobody_says_any_more() -> None:
    unsaid = [english for english in sentences.table() if not any(one.fullmatch(english) for one in said())]
    assert unsaid == []
