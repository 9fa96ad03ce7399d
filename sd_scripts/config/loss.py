from __future__ import annotations

from typing import ClassVar

from .schema import Group


class LossConfig(Group):
    title: ClassVar[str] = "Loss"
