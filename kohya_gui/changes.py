"""What would change on the form, and how that is shown before it happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from sd_scripts.config.schema import Parameter

from . import values
from .entries import Entries
from .texts import t


@dataclass(frozen=True)
class Change:
    """One field: what its widget holds now, and what it would hold."""

    parameter: Parameter
    old: Any
    new: Any


def between(now: Entries, then: Entries) -> list[Change]:
    return [
        Change(parameter, now.shown[parameter.key], then.shown[parameter.key])
        for parameter in now.parameters
        if parameter.kind != "secret" and now.shown[parameter.key] != then.shown[parameter.key]
    ]


def table(changes: Sequence[Change]) -> str:
    """Field, value now, value then."""
    head = f"<tr><th>{t('Setting')}</th><th>{t('Now')}</th><th>{t('Then')}</th></tr>"
    return f'<div class="changes"><table>{head}{"".join(_rows(changes))}</table></div>'


def _rows(changes: Sequence[Change]) -> Iterator[str]:
    for change in changes:
        label = escape(t(change.parameter.label))
        old, new = _words(change.parameter, change.old), _words(change.parameter, change.new)
        yield f"<tr><th scope=row>{label}</th><td><s>{old}</s></td><td>{new}</td></tr>"


def _words(parameter: Parameter, shown: Any) -> str:
    if values.is_checkbox(parameter):
        return t("on") if shown else t("off")
    if shown in ("", values.NOT_SET):
        return f"<i>{t('not set')}</i>"
    return escape(str(shown)).strip().replace("\n", "<br>")
