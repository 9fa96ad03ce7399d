from __future__ import annotations

from typing import ClassVar

from .schema import Group


class OptimizerConfig(Group):
    title: ClassVar[str] = "Optimizer"
