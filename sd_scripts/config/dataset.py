from __future__ import annotations

from typing import ClassVar

from .schema import Group


class DatasetConfig(Group):
    title: ClassVar[str] = "Dataset"
