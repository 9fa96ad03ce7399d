from __future__ import annotations

from typing import ClassVar

from .schema import Group


class PrecisionConfig(Group):
    title: ClassVar[str] = "Precision"
