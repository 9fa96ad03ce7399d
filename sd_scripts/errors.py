"""What can go wrong for a user, each as a type that carries one sentence saying what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .config.schema import Problem


class UserError(Exception):
    """Something the user can put right. Its text names the field or file, what is wrong and what to do."""


class ConfigError(UserError):
    """Settings that can't be trained with; `problems` has one sentence for each."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in problems))
