from __future__ import annotations

from typing import ClassVar

from .schema import Group


class TrainingConfig(Group):
    title: ClassVar[str] = "Training"
