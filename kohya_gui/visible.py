"""Which parameters have an effect for the chosen model, method and network; the others are not shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sd_scripts.config import load
from sd_scripts.config.schema import Parameter
from sd_scripts.config.train_config import TrainConfig

from .layout import Section

CHOOSING_GROUPS = ("model", "network")
"""The groups whose values decide what else has an effect."""


def chosen(flat: Mapping[str, object], config: TrainConfig | None) -> tuple[str, str, str | None] | None:
    """Family, method and adapter; None while the values that decide them are wrong."""
    if config is None:
        deciding = {key: value for key, value in flat.items() if load.parameters()[key].attribute in CHOOSING_GROUPS}
        config = load.from_flat(deciding).config
    return (config.family, config.method, config.adapter) if config else None


def without_effect(parameters: Iterable[Parameter], flat: Mapping[str, object], config: TrainConfig | None) -> set[str]:
    """Keys to hide. A value that differs from its default stays in sight, so that one can reset it."""
    what = chosen(flat, config)
    if what is None:
        return set()
    return {p.key for p in parameters if p.applies_to.missing(*what) and p.key not in flat}


def hidden_sections(sections: Iterable[Section], hidden: set[str]) -> tuple[set[str], set[str]]:
    """Names of sections of which nothing is left, and of those whose collapsed part is empty."""
    empty: set[str] = set()
    shortened: set[str] = set()
    for section in sections:
        if all(p.key in hidden for p in section.more):
            (shortened if any(p.key not in hidden for p in section.basic) else empty).add(section.name)
    return empty, shortened
