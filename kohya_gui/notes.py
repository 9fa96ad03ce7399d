"""Problems and notices as the page shows them: HTML in which everything from outside is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sd_scripts.config.schema import Problem

from . import layout, sentences
from .access import Outside
from .texts import t


def problem_list(problems: Sequence[Problem]) -> str:
    """What stops the run first; each entry leads to its field."""
    ordered = sorted(problems, key=lambda problem: not problem.stops)
    if not ordered:
        return ""
    stopping = sum(problem.stops for problem in problems)
    title = t("{count} to put right before the start", count=stopping) if stopping else t("Worth knowing")
    return f'<section class="notes" role="status"><h3>{title}</h3><ul>{"".join(map(_entry, ordered))}</ul></section>'


def _entry(problem: Problem) -> str:
    kind = "problem" if problem.stops else "notice"
    said = escape(sentences.shown(problem.message))
    return f'<li class="{kind}">{_name(problem.key)} <span>{said}</span>{_way_out(problem)}</li>'


def _way_out(problem: Problem) -> str:
    """A button for what can be put right at once."""
    if not isinstance(problem, Outside) or not problem.opens:
        return ""
    opens = escape(problem.opens)
    return f' <button type="button" class="open-up" data-folder="{opens}">{t("Allow {folder}", folder=opens)}</button>'


def _name(key: str) -> str:
    """A link to the field, or the bare key of what has none."""
    parameter = layout.fields().get(key)
    if parameter is None:
        return f"<b>{escape(key)}</b>" if key else ""
    return f'<a href="#p-{key}" data-key="{key}">{escape(t(parameter.label))}</a>'


def sentence(text: str, kind: str = "problem") -> str:
    said = escape(sentences.shown(text))
    return f'<section class="notes" role="status"><ul><li class="{kind}"><span>{said}</span></li></ul></section>'
