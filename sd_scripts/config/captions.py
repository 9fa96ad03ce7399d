from __future__ import annotations

from typing import ClassVar

from .schema import Group


class CaptionConfig(Group):
    title: ClassVar[str] = "Captions"
