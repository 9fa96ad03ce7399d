"""What stands where on the form, as data: the sections that the schema's groups become."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from sd_scripts.config.schema import Parameter
from sd_scripts.config.train_config import all_parameters, groups

from . import additional

METHOD = "method"
SET_BY_THE_APP = ("run_dir",)
"""Parameters that have no widget, because the app gives them their value."""

BLOCKS = (
    "down_lr_weight", "mid_lr_weight", "up_lr_weight", "block_lr_zero_threshold", "block_dims", "block_alphas",
    "conv_block_dims", "conv_block_alphas",
)  # fmt: skip
"""Parameters that stand beside the picture of the blocks."""


@dataclass(frozen=True)
class Section:
    """One group on the page: what most people need, the rest, and what belongs to the picture of the blocks."""

    name: str
    title: str
    basic: tuple[Parameter, ...]
    more: tuple[Parameter, ...]
    blocks: tuple[Parameter, ...] = ()

    @property
    def members(self) -> tuple[Parameter, ...]:
        return (*self.basic, *self.more, *self.blocks)


def has_widget(parameter: Parameter) -> bool:
    return not parameter.ui.hidden and parameter.key not in SET_BY_THE_APP


@cache
def shown_parameters() -> tuple[Parameter, ...]:
    """Everything that has a widget, in the order of the page; the method comes first."""
    return (all_parameters()[METHOD], *(p for section in sections() for p in section.members))


@cache
def sections() -> tuple[Section, ...]:
    """The groups in display order, without those that declare nothing."""
    found = (_section(name, group.title) for name, group in groups().items())
    return tuple(section for section in found if section.members)


def _section(name: str, title: str) -> Section:
    shown = [*all_parameters().values(), additional.PARAMETER]
    members = [p for p in shown if p.attribute == name and has_widget(p)]
    blocks = tuple(p for p in members if p.key in BLOCKS)
    basic = tuple(p for p in members if p.ui.basic)
    return Section(name, title, basic, tuple(p for p in members if p not in (*blocks, *basic)), blocks)


@cache
def fields() -> dict[str, Parameter]:
    """Key -> parameter of everything that has a widget."""
    return {parameter.key: parameter for parameter in shown_parameters()}


def of_another_method(key: str, method: str) -> bool:
    """Whether the setting has no effect because something else is trained."""
    allowed = all_parameters()[key].applies_to.methods if key in all_parameters() else None
    return allowed is not None and method not in allowed


def titles(keys: Iterable[str]) -> list[str]:
    """Titles of the sections in which these keys stand."""
    wanted = set(keys)
    return [section.title for section in sections() if wanted & {p.key for p in section.members}]
