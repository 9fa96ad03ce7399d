from __future__ import annotations

from typing import ClassVar

from .schema import Group


class NetworkConfig(Group):
    title: ClassVar[str] = "Network"
