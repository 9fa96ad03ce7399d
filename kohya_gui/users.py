"""Who may come in: names and hashed passwords in a file, and a limit to how often one may try."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from sd_scripts.errors import UserError
from sd_scripts.whole import whole_file

NAME = re.compile(r"[^\s:]{1,64}")
SHORTEST_PASSWORD = 8
COST, BLOCK, PARALLEL, SALT_BYTES = 2**15, 8, 1, 16
"""scrypt with these needs 32 MiB and about a tenth of a second (RFC 7914, section 2)."""

MEMORY = 64 << 20
FREE_TRIES, FIRST_WAIT, LONGEST_WAIT = 4, 5.0, 900.0
MOST_REMEMBERED = 10_000


class BadUsers(UserError):
    """A file of users that can't be read or written, or a name or password that can't be taken."""


def hashed(password: str, salt: bytes | None = None) -> str:
    """`scrypt$cost$block$parallel$salt$hash`, salt and hash in base64."""
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    return "$".join(
        [
            "scrypt",
            str(COST),
            str(BLOCK),
            str(PARALLEL),
            _text(salt),
            _text(_scrypt(password, salt, COST, BLOCK, PARALLEL)),
        ]
    )


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=block, p=parallel, maxmem=MEMORY, dklen=32)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def matches(password: str, stored: str) -> bool:
    try:
        scheme, cost, block, parallel, salt, expected = stored.split("$")
        found = _scrypt(password, base64.b64decode(salt), int(cost), int(block), int(parallel))
        return scheme == "scrypt" and hmac.compare_digest(found, base64.b64decode(expected))
    except ValueError:
        return False


@cache
def nobody() -> str:
    """Compared with where there is no such user, so that the answer takes as long."""
    return hashed("", b"\0" * SALT_BYTES)


@dataclass
class Users:
    """The file of users: one `name:hash` a line. It is read again when it changes."""

    file: Path
    _read: tuple[float, dict[str, str]] = (-1.0, {})

    def names(self) -> list[str]:
        return sorted(self._all())

    def _all(self) -> dict[str, str]:
        try:
            changed = self.file.stat().st_mtime
            if changed != self._read[0]:
                self._read = (changed, _parsed(self.file))
        except OSError as error:
            raise BadUsers(
                f"The file of users {self.file} can't be read ({error.strerror}); add the first with --add_user NAME."
            ) from error
        return self._read[1]

    def check(self) -> None:
        """Raises BadUsers where nobody could come in."""
        if not self._all():
            raise BadUsers(f"The file of users {self.file} names nobody; add a user with --add_user NAME.")

    def accepts(self, name: str, password: str) -> bool:
        stored = self._all().get(name)
        return matches(password, stored or nobody()) and stored is not None

    def add(self, name: str, password: str) -> None:
        """Adds the user, or gives one that is there a new password. Raises BadUsers."""
        if not NAME.fullmatch(name):
            raise BadUsers(f"{name!r} can't be the name of a user; use up to 64 signs without blanks and colons.")
        if len(password) < SHORTEST_PASSWORD:
            raise BadUsers(f"The password is too short; use at least {SHORTEST_PASSWORD} signs.")
        users = {**(_parsed(self.file) if self.file.is_file() else {}), name: hashed(password)}
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self.file) as new:
                new.touch(0o600)
                new.write_text("".join(f"{who}:{stored}\n" for who, stored in users.items()), encoding="utf-8")
        except OSError as error:
            raise BadUsers(f"The file of users {self.file} can't be written ({error.strerror}).") from error


def _parsed(file: Path) -> dict[str, str]:
    users = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        name, colon, stored = line.strip().partition(":")
        if colon and stored.startswith("scrypt$"):
            users[name] = stored
        elif line.strip():
            raise BadUsers(
                f"Line {number} of {file} is not name:hash; write users with --add_user NAME, which hashes passwords."
            )
    return users


@dataclass
class Attempts:
    """How long to wait before the next attempt to sign in, for an address and for a name: longer with every failure."""

    now: Callable[[], float] = time.monotonic
    _failed: dict[str, tuple[int, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, *whats: str) -> float:
        """Seconds until one of these may try again; 0: now."""
        with self._lock:
            return max(0.0, *(self._failed.get(what, (0, 0.0))[1] - self.now() for what in whats))

    def failed(self, *whats: str) -> None:
        with self._lock:
            for what in whats:
                count = self._failed.get(what, (0, 0.0))[0] + 1
                pause = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (count - FREE_TRIES)) if count >= FREE_TRIES else 0.0
                self._failed[what] = (count, self.now() + pause)
            self._forget()

    def succeeded(self, *whats: str) -> None:
        with self._lock:
            for what in whats:
                self._failed.pop(what, None)

    def _forget(self) -> None:
        """The oldest go first, when someone tries with ever new names."""
        while len(self._failed) > MOST_REMEMBERED:
            self._failed.pop(next(iter(self._failed)))
