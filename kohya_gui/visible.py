"""Which parameters have an effect for the chosen model, method and network; the others are not shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from sd_scripts.config.methods import METHODS
from sd_scripts.config.model import ModelConfig
from sd_scripts.config.network import NetworkConfig
from sd_scripts.config.schema import Group, Parameter

from . import layout
from .entries import Entries

Chosen = TypeVar("Chosen", bound=Group)


@dataclass(frozen=True)
class What:
    """What is trained, which decides what else has an effect. adapters: the kinds of network, or None alone."""

    family: str
    method: str
    adapters: tuple[str | None, ...]

    def has_use_for(self, parameter: Parameter) -> bool:
        return any(parameter.applies_to.missing(self.family, self.method, kind) is None for kind in self.adapters)


def what(entries: Entries) -> What:
    """Whatever else may be wrong with the form, so that a slip of the keyboard brings nothing into sight."""
    flat = entries.runs[0]
    model, network = _readable(ModelConfig, flat), _readable(NetworkConfig, flat)
    return What(model.family, entries.method, network.kinds if METHODS[entries.method].trains_network else (None,))


def _readable(group: type[Chosen], flat: Mapping[str, object]) -> Chosen:
    """The group of these settings, without those that can't be read."""
    own = {key: flat[key] for key in group.model_fields if key in flat}
    try:
        return group.model_validate(own)
    except ValidationError as error:
        wrong = {place for problem in error.errors() for place in problem["loc"][:1]}
        return _readable(group, {key: value for key, value in own.items() if wrong and key not in wrong})


def without_effect(entries: Entries) -> set[str]:
    """Keys to hide. What was filled in and has no effect stays in sight, so that one can reset it, unless it has its
    effect again as soon as another method is chosen."""
    trained = what(entries)
    return {
        p.key
        for p in entries.parameters
        if layout.of_another_method(p.key, entries.method)
        or (p.key not in entries.settings and not trained.has_use_for(p))
    }


def hidden_parts(sections: Iterable[layout.Section], hidden: set[str]) -> set[str]:
    """Element ids of sections, and of their collapsed parts, of which nothing is left."""
    gone: set[str] = set()
    for section in sections:
        parts = {"g": section.members, "more": section.more, "blocks": section.blocks}
        gone |= {f"{part}-{section.name}" for part, members in parts.items() if all(p.key in hidden for p in members)}
    return gone
