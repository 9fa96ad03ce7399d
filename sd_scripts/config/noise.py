from __future__ import annotations

from typing import ClassVar

from .schema import Group


class NoiseConfig(Group):
    title: ClassVar[str] = "Noise"
