"""What the app is told on its Settings page, in a TOML file of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import tomlkit

from sd_scripts.config import toml
from sd_scripts.errors import UserError
from sd_scripts.whole import write_whole

HEADING = "What was chosen on the Settings page."
KINDS: dict[str, type] = {"allow": list, "resume_lost": bool, "preset": str}


class BadPreferences(UserError):
    """Settings of the app that can't be kept or read."""


@dataclass(frozen=True)
class Preferences:
    """allow: folders to read and write besides the usual ones. resume_lost: runs that broke off go on by themselves.
    preset: what a new visitor's form opens with, "" for the demo."""

    allow: tuple[str, ...] = ()
    resume_lost: bool = False
    preset: str = ""


@dataclass
class PreferenceFile:
    path: Path

    def read(self) -> Preferences:
        """Raises BadPreferences, BadToml."""
        if not self.path.is_file():
            return Preferences()
        content = toml.read(self.path)
        for key, value in content.items():
            if not isinstance(value, KINDS.get(key, ())):
                raise BadPreferences(f"{self.path} holds {key} = {value!r}, which is no setting; remove that line.")
        return replace(Preferences(**content), allow=tuple(map(str, content.get("allow", ()))))

    def write(self, preferences: Preferences) -> None:
        document = tomlkit.document()
        document.add(tomlkit.comment(HEADING))
        for key in KINDS:
            value = getattr(preferences, key)
            document[key] = list(value) if isinstance(value, tuple) else value
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, tomlkit.dumps(document))
        except OSError as error:
            raise BadPreferences(
                f"The settings can't be written to {self.path} ({error.strerror}); check the folder's rights."
            ) from error


def folders(lines: str) -> tuple[str, ...]:
    """One folder a line, as it is meant from here. Raises BadPreferences for what is none."""
    found = tuple(str(Path(line.strip()).expanduser().resolve()) for line in lines.splitlines() if line.strip())
    for folder in found:
        if not Path(folder).is_dir():
            raise BadPreferences(f"{folder} is no folder; name one that there is.")
        if Path(folder) == Path(Path(folder).anchor):
            raise BadPreferences(f"{folder} would open the whole disk; name a folder on it.")
    return found


def as_paths(names: Iterable[str]) -> tuple[Path, ...]:
    return tuple(map(Path, names))
