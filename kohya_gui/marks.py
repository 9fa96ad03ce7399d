"""What the fields show beside their values: hidden or not, changed or not, right or wrong.

It goes to the browser as one style sheet and one list of facts, which is lighter than updates of all widgets, and holds
for fields that are not drawn yet because their part of the form is closed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from sd_scripts.config.block_weights import BLOCKS, SD
from sd_scripts.config.schema import Problem

from . import layout, sentences, visible
from .entries import Entries
from .texts import t


@dataclass(frozen=True)
class Marks:
    """hidden: keys without effect. gone: ids of emptied parts. changed: key -> what the field showed before."""

    hidden: set[str]
    gone: set[str]
    changed: Mapping[str, Any]
    problems: Sequence[Problem]
    facts: Mapping[str, Any]


def of(entries: Entries, baseline: Mapping[str, object]) -> Marks:
    """baseline: the settings that the form is compared with."""
    before = Entries.of(baseline)
    changed = {key: value for key, value in before.shown.items() if entries.shown[key] != value}
    secret = {parameter.key for parameter in entries.parameters if parameter.kind == "secret"}
    hidden = visible.without_effect(entries)
    facts = {
        "changed": {key: value for key, value in changed.items() if key not in secret},
        "hidden": sorted(hidden),
        "unet": asdict(BLOCKS.get(visible.what(entries).family, SD)),
        "runs": len(entries.runs),
        "wrong": sum(problem.stops for problem in entries.loaded.problems),
    }
    gone = visible.hidden_parts(layout.sections(), hidden)
    return Marks(hidden, gone, facts["changed"], entries.loaded.problems, facts)  # type: ignore[arg-type]


def html(marks: Marks) -> str:
    return f'{stylesheet(marks)}<i id="form-facts" data-facts="{escape(json.dumps(marks.facts))}"></i>'


def stylesheet(marks: Marks) -> str:
    rules = [*_hiding(marks), *_changed(marks), *_parts(marks)]
    first: dict[str, Problem] = {}
    for problem in sorted(marks.problems, key=lambda problem: not problem.stops):
        if problem.key in layout.fields():
            first.setdefault(problem.key, problem)
    rules += [_mark(problem) for problem in first.values()]
    return f"<style>{' '.join(rules)}</style>"


def _ids(names: Iterable[str], prefix: str = "p-") -> str:
    return ", ".join(f"#{prefix}{name}" for name in sorted(names))


def _hiding(marks: Marks) -> Iterable[str]:
    gone = [*(f"p-{key}" for key in marks.hidden), *marks.gone]
    if gone:
        yield f"{_ids(gone, '')} {{ display: none !important }}"


def _changed(marks: Marks) -> Iterable[str]:
    shown = marks.changed.keys() - marks.hidden
    if not shown:
        yield "body.only-changed #form-column .section { display: none !important }"
        return
    parts = {
        f"{part}-{section.name}"
        for section in layout.sections()
        for part, members in (("g", section.members), ("more", section.more), ("blocks", section.blocks))
        if shown & {p.key for p in members}
    }
    yield f":is({_ids(shown)}) {{ --field-changed: inline-flex; --field-bar: var(--accent) }}"
    yield f"body.only-changed #form-column .section .field:not({_ids(shown)}) {{ display: none !important }}"
    yield f"body.only-changed #form-column :is(.section, .more):not({_ids(parts, '')}) {{ display: none !important }}"


def _parts(marks: Marks) -> Iterable[str]:
    """A closed part says what is in it."""
    stopping = {problem.key for problem in marks.problems if problem.stops}
    for section in layout.sections():
        for part, members in (("more", section.more), ("blocks", section.blocks)):
            keys = {p.key for p in members} - marks.hidden
            wrong, changed = len(keys & stopping), len(keys & marks.changed.keys())
            words = [
                t("{count} to put right", count=wrong) if wrong else "",
                t("{count} changed", count=changed) if changed else "",
            ]
            said = " · ".join(filter(None, words))
            if said:
                colour = "var(--bad)" if wrong else "var(--accent)"
                yield f'#{part}-{section.name} > button::after {{ content: "{css_text(said)}"; color: {colour} }}'


def _mark(problem: Problem) -> str:
    colour = "var(--bad)" if problem.stops else "var(--warn)"
    return (
        f"#p-{problem.key} {{ --field-edge: {colour} }} "
        f'#p-{problem.key}::after {{ content: "{css_text(sentences.shown(problem.message))}"; color: {colour} }}'
    )


def css_text(text: str) -> str:
    """As a CSS string: every character that could end it is written as its number."""
    return "".join(c if c.isalnum() or c in " .,:;()_-+=%!?" else f"\\{ord(c):x} " for c in text)
