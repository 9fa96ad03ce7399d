"""What the engine and the app's own errors say, in the visitor's language.

They say it in English, where nobody knows yet who will read it, with values in it. Here a finished sentence is
recognized by the words between its values, and said again with these; one that the table does not hold stays English.
"""

from __future__ import annotations

import json
import re
from functools import cache

from . import texts

BLANK = re.compile(r"\{(\w+)\}")


@cache
def table() -> dict[str, dict[str, str]]:
    """English sentence with {blanks} -> language -> the sentence there."""
    return dict(json.loads((texts.TABLES / "sentences.json").read_text(encoding="utf-8")))


@cache
def patterns() -> list[tuple[re.Pattern[str], dict[str, str]]]:
    """The sentences with the most words of their own first, because they say most exactly what is meant."""
    by_words = sorted(table().items(), key=lambda entry: -len(BLANK.sub("", entry[0])))
    return [(re.compile(_pattern(english), re.DOTALL), others) for english, others in by_words]


def _pattern(english: str) -> str:
    """re.split gives words and the names of blanks in turn."""
    parts = BLANK.split(english)
    return "".join(f"(?P<{part}>.*?)" if place % 2 else re.escape(part) for place, part in enumerate(parts))


def shown(english: str) -> str:
    """The sentence in the language of whoever asks."""
    language = texts.language()
    if language == texts.ENGLISH:
        return english
    for pattern, others in patterns():
        found = pattern.fullmatch(english)
        if found:
            return texts.filled(others[language], found.groupdict())
    return english
