"""Answers of the plain routes: what was asked for, or the sentence of what the visitor can put right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sd_scripts.errors import UserError

from . import sentences
from .live import Answer


def told(action: Callable[[], Any], wrong: int = 409) -> Answer:
    """What the action returns; what the visitor can put right becomes its sentence, with this status."""
    try:
        return Answer(action())
    except UserError as error:
        return Answer({"error": sentences.shown(str(error))}, wrong)
