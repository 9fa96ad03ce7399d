from __future__ import annotations

from typing import ClassVar

from .schema import Group


class LoggingConfig(Group):
    title: ClassVar[str] = "Logging"
