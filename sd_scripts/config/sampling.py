from __future__ import annotations

from typing import ClassVar

from .schema import Group


class SamplingConfig(Group):
    title: ClassVar[str] = "Samples"
