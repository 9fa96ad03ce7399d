"""What the rules for old files work on."""

from __future__ import annotations

from collections.abc import Mapping

from .schema import Notice


class Sheet:
    """The file's values, what they were translated to so far, and what is to be said."""

    def __init__(self, old: Mapping[str, object]) -> None:
        self.old = {key: value for key, value in old.items() if not is_empty(value)}
        self.mentioned = set(old)
        self.new: dict[str, object] = {}
        self.notices: list[Notice] = []

    def take(self, key: str) -> object:
        """The value of `key`, which is then dealt with; None where the file has none or an empty one."""
        return self.old.pop(key, None)

    def number(self, key: str) -> float:
        """The same as a number; 0 where there is none. What is no number stays on the sheet, for `load` to complain."""
        try:
            found = float(str(self.old.get(key, 0)))
        except ValueError:
            return 0.0
        self.take(key)
        return found

    def put(self, key: str, value: object) -> None:
        self.new[key] = value

    def say(self, key: str, message: str) -> None:
        self.notices.append(Notice(key, message))


def is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def is_on(value: object) -> bool:
    return str(value).strip().lower() in ("true", "1", "yes", "on")


def is_zero(value: object) -> bool:
    try:
        return not isinstance(value, bool) and float(str(value)) == 0
    except ValueError:
        return False
