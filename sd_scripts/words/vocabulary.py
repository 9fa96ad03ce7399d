"""A tokenizer that knows new words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Ids = Sequence[int]


@dataclass(frozen=True)
class Tokens:
    input_ids: list[int]


class Vocabulary:
    """Stands in for a tokenizer. words: new word in lower case -> its token ids, which take its place in a text.

    pattern: finds the new words. The tokenizer itself is left as it is, so that whoever shares it sees nothing new.
    """

    def __init__(self, tokenizer: Any, words: Mapping[str, Ids], pattern: re.Pattern[str]) -> None:
        self._tokenizer, self._words, self._pattern = tokenizer, words, pattern

    def __call__(self, text: str, **how: Any) -> Tokens:
        """As the tokenizer does without special tokens."""
        ids: list[int] = []
        place = 0
        for found in self._pattern.finditer(text):
            ids += [*self._known(text[place : found.start()], how), *self._words[found.group().lower()]]
            place = found.end()
        return Tokens([*ids, *self._known(text[place:], how)])

    def _known(self, text: str, how: Mapping[str, Any]) -> list[int]:
        found: list[int] = self._tokenizer(text, **how).input_ids if text.strip() else []
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)
