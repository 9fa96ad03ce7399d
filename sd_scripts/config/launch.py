from __future__ import annotations

from typing import ClassVar

from .schema import Group


class LaunchConfig(Group):
    title: ClassVar[str] = "Launch"
