from __future__ import annotations

from typing import ClassVar

from .schema import Group


class SavingConfig(Group):
    title: ClassVar[str] = "Saving"
