"""Which groups stand on which page, as data."""

from __future__ import annotations

from dataclasses import dataclass

from sd_scripts.config.schema import Parameter
from sd_scripts.config.train_config import all_parameters, groups

SET_BY_THE_APP = ("run_dir",)
"""Parameters that have no widget, because the app gives them their value."""


@dataclass(frozen=True)
class Page:
    """A page of the form. `groups`: attributes of TrainConfig in the order in which they are shown."""

    title: str
    method: str
    presets: str
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """One group on a page: what most people need, and the rest."""

    name: str
    title: str
    basic: tuple[Parameter, ...]
    more: tuple[Parameter, ...]


TRAIN_LORA = Page(
    title="LoRA",
    method="lora",
    presets="lora",
    groups=(
        "model", "dataset", "captions", "training", "optimizer", "network", "sampling", "saving", "noise", "loss",
        "precision", "logging", "launch",
    ),
)  # fmt: skip


def has_widget(parameter: Parameter) -> bool:
    return not parameter.ui.hidden and parameter.key not in SET_BY_THE_APP


def shown_parameters(page: Page) -> list[Parameter]:
    return [parameter for section in sections(page) for parameter in (*section.basic, *section.more)]


def sections(page: Page) -> list[Section]:
    """The page's groups, without those that declare nothing."""
    found = []
    for name in page.groups:
        members = [p for p in all_parameters().values() if p.attribute == name and has_widget(p)]
        if members:
            basic = tuple(p for p in members if p.ui.basic)
            found.append(Section(name, groups()[name].title, basic, tuple(p for p in members if not p.ui.basic)))
    return found
