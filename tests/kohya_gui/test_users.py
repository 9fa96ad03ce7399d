"""Users, their passwords, and how often one may try."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from fastapi import HTTPException

from kohya_gui import login, users
from kohya_gui.__main__ import main
from kohya_gui.options import read_options
from kohya_gui.users import Attempts, BadUsers, Users


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "COST", 16)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "users.txt"


def test_a_user_comes_in_with_the_right_password_only(file: Path) -> None:
    who = Users(file)
    who.add("ann", "correct horse")
    assert who.accepts("ann", "correct horse")
    assert not who.accepts("ann", "wrong horse")
    assert not who.accepts("bob", "correct horse")
    assert who.names() == ["ann"]


def test_the_file_holds_no_password_and_only_the_owner_reads_it(file: Path) -> None:
    Users(file).add("ann", "correct horse")
    Users(file).add("bob", "correct horse")
    text = file.read_text()
    assert "horse" not in text
    first, second = (line.split("$")[-1] for line in text.split())
    assert first != second, "each has a salt of its own"
    assert file.stat().st_mode & 0o077 == 0


def test_a_hash_is_scrypts() -> None:
    stored = users.hashed("secret", b"salt")
    _, cost, block, parallel, _, found = stored.split("$")
    expected = hashlib.scrypt(b"secret", salt=b"salt", n=int(cost), r=int(block), p=int(parallel), dklen=32)
    assert users._text(expected) == found


def test_a_new_password_replaces_the_old_one_at_once(file: Path) -> None:
    who = Users(file)
    who.add("ann", "correct horse")
    assert who.accepts("ann", "correct horse")
    Users(file).add("ann", "battery staple")
    who._read = (-1.0, {})  # a file system may have no finer clock than a second
    assert who.accepts("ann", "battery staple") and not who.accepts("ann", "correct horse")


@pytest.mark.parametrize(("name", "password", "sentence"), [
    ("a b", "long enough", "'a b' can't be the name of a user; use up to 64 signs without blanks and colons."),
    ("ann", "short", "The password is too short; use at least 8 signs."),
])  # fmt: skip
def test_what_can_not_be_taken_is_said(file: Path, name: str, password: str, sentence: str) -> None:
    with pytest.raises(BadUsers) as error:
        Users(file).add(name, password)
    assert str(error.value) == sentence


def test_a_file_that_holds_passwords_in_the_clear_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text("ann:secret\n")
    with pytest.raises(BadUsers) as error:
        Users(file).check()
    assert str(error.value) == (
        f"Line 1 of {file} is not name:hash; write users with --add_user NAME, which hashes passwords."
    )


def test_the_app_does_not_start_with_a_file_that_names_nobody(tmp_path: Path) -> None:
    missing = tmp_path / "users"
    with pytest.raises(BadUsers, match="can't be read .*; add the first with --add_user NAME."):
        read_options(["--users", str(missing)]).check()
    missing.touch()
    with pytest.raises(BadUsers, match="names nobody; add a user with --add_user NAME."):
        read_options(["--users", str(missing)]).check()


def test_a_user_is_added_at_the_terminal(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = iter(["correct horse", "correct hoarse", "correct horse", "correct horse"])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))
    arguments = ["--add_user", "ann", "--state", str(file.parent)]
    assert main(arguments) == 1
    assert capsys.readouterr().err == "The two passwords differ; nobody was added.\n"
    assert main(arguments) == 0
    assert Users(file).accepts("ann", "correct horse")
    assert read_options(["--users", "--state", str(file.parent)]).users == file


def test_waits_grow_with_every_failure_and_end_with_success() -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    waits = []
    for _ in range(6):
        attempts.failed("name ann")
        waits.append(attempts.wait("name ann"))
    assert waits == [0, 0, 0, 5, 10, 20]
    assert attempts.wait("name bob", "address x") == 0
    now[0] = 21.0
    assert attempts.wait("name ann") == 0
    attempts.succeeded("name ann")
    attempts.failed("name ann")
    assert attempts.wait("name ann") == 0


def test_nobody_can_fill_the_memory_with_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "MOST_REMEMBERED", 3)
    attempts = Attempts()
    for number in range(10):
        attempts.failed(f"name {number}")
    assert len(attempts._failed) == 3


def test_who_tries_too_often_is_told_how_long_to_wait() -> None:
    door = login.one_user("ann", "correct horse")
    door.attempts.now = lambda: 0.0
    tries = [asyncio.run(door.admits("ann", "wrong")) for _ in range(4)]
    assert tries == [False] * 4
    with pytest.raises(HTTPException) as error:
        asyncio.run(door.admits("ann", "correct horse"))
    assert (error.value.status_code, error.value.detail) == (429, "Too many wrong attempts; try again in 5 seconds.")
    door.attempts.now = lambda: 6.0
    assert asyncio.run(door.admits("ann", "correct horse"))


def test_the_login_page_is_in_the_visitors_language_and_light() -> None:
    page = login.page("LoRA Studio", "de").decode()
    assert '<html lang="de">' in page and '<label for="username">' in page
    assert len(page) < 6000
