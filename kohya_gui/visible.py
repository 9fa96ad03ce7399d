"""Which parameters have an effect for the chosen model, method and network; the others are not shown."""

from __future__ import annotations

from collections.abc import Iterable

from sd_scripts.config import load
from sd_scripts.config.schema import Parameter

from . import layout
from .entries import Entries

CHOOSING_GROUPS = ("model", "network")
"""The groups whose values decide what else has an effect."""


def chosen(entries: Entries) -> tuple[str, str, str | None] | None:
    """Family, method and adapter; None while the values that decide them are wrong."""
    config = entries.config
    if config is None:
        flat = entries.runs[0]
        deciding = {
            key: value
            for key, value in flat.items()
            if key in load.parameters() and load.parameters()[key].attribute in CHOOSING_GROUPS
        }
        config = load.from_flat(deciding).config
    return (config.family, config.method, config.adapter) if config else None


def without_effect(entries: Entries) -> set[str]:
    """Keys to hide. What was filled in and has no effect stays in sight, so that one can reset it, unless it has its
    effect again as soon as another method is chosen."""
    hidden = {p.key for p in entries.parameters if layout.of_another_method(p.key, entries.method)}
    what = chosen(entries)
    if what is None:
        return hidden
    return hidden | {p.key for p in entries.parameters if _is_idle(p, what) and p.key not in entries.settings}


def _is_idle(parameter: Parameter, what: tuple[str, str, str | None]) -> bool:
    return parameter.applies_to.missing(*what) is not None


def hidden_parts(sections: Iterable[layout.Section], hidden: set[str]) -> set[str]:
    """Element ids of sections, and of their collapsed parts, of which nothing is left."""
    gone: set[str] = set()
    for section in sections:
        parts = {"g": section.members, "more": section.more, "blocks": section.blocks}
        gone |= {f"{part}-{section.name}" for part, members in parts.items() if all(p.key in hidden for p in members)}
    return gone
