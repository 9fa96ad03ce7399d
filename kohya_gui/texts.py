"""Every text of the app in the language of whoever looks at it: `t("English text")`.

The English text is the key; languages/*.json hold what it is in the others, and what they do not hold stays English.
While the pages are being built nobody looks at them yet, so `t` gives English then, and `delivery` puts each page into
its visitor's language when it is sent: no visitor loads a language but the own.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

TABLES = Path(__file__).parent / "languages"
LANGUAGES = {"en": "English", "zh": "简体中文", "ja": "日本語", "de": "Deutsch"}
ENGLISH = "en"
COOKIE = "language"

_visitor: ContextVar[str | None] = ContextVar("language of the visitor", default=None)
_building: ContextVar[bool] = ContextVar("the pages are being built", default=False)
_composed: dict[str, tuple[str, dict[str, object]]] = {}
"""Texts that were built with values in them -> what they were made of."""


def t(english: str, **values: object) -> str:
    """The text in the language of whoever asks; {names} in it are replaced by `values`, which are not translated."""
    text = filled(table(language()).get(english, english), values)
    if values and _building.get():
        _composed[text] = (english, values)
    return text


def filled(text: str, values: Mapping[str, object]) -> str:
    """Other braces stay as they are."""
    return re.sub(r"\{(\w+)\}", lambda found: str(values.get(found[1], found[0])), text) if values else text


@cache
def table(which: str) -> Mapping[str, str]:
    """English text -> text in that language. English has no table."""
    file = TABLES / f"{which}.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if which != ENGLISH and which in LANGUAGES else {}


def translated(text: str, which: str) -> str:
    """A text of a page that was built, in that language."""
    found = table(which).get(text)
    if found is None and text in _composed:
        english, values = _composed[text]
        found = filled(table(which).get(english, english), {name: _value(v, which) for name, v in values.items()})
    return text if found is None else found


def _value(value: object, which: str) -> object:
    """What is put into a text can be a text of its own, such as the title of a section."""
    return table(which).get(value, value) if isinstance(value, str) else value


@contextlib.contextmanager
def building() -> Iterator[None]:
    """While the pages are made: texts with values in them are kept in mind, so that they can be translated later."""
    token = _building.set(True)
    try:
        yield
    finally:
        _building.reset(token)


@contextlib.contextmanager
def speaking(which: str) -> Iterator[None]:
    """What is done within is done for a visitor of that language."""
    token = _visitor.set(which)
    try:
        yield
    finally:
        _visitor.reset(token)


def language() -> str:
    """The language of the visitor on whose behalf this code runs; English where there is none."""
    known = _visitor.get()
    if known is not None:
        return known
    request = _event_request()
    if request is None:
        return ENGLISH
    headers = {str(name).lower(): str(value) for name, value in request.headers.items()}
    return preferred(headers.get("cookie", ""), headers.get("accept-language", ""))


def _event_request() -> Any:
    """The request behind a Gradio event, which runs outside the request where it was queued."""
    from gradio.context import LocalContext

    return LocalContext.request.get(None)


def preferred(cookie: str, accepted: str) -> str:
    """The language that was chosen on the page, or else the first of the browser's that there is."""
    chosen = re.search(rf"(?:^|;\s*){COOKIE}=(\w+)", cookie)
    if chosen and chosen[1] in LANGUAGES:
        return chosen[1]
    wishes = []
    for place, wish in enumerate(accepted.split(",")):
        name, _, quality = wish.strip().partition(";q=")
        with contextlib.suppress(ValueError):
            wishes.append((-float(quality or 1), place, name.split("-")[0].lower()))
    return next((name for _, _, name in sorted(wishes) if name in LANGUAGES), ENGLISH)
