"""One caption file: read and written so that whatever isn't changed stays as it was, byte for byte."""

from __future__ import annotations

from pathlib import Path

from ..data.texts import BadCaption
from ..errors import UserError
from ..whole import whole_file

BOM = "\ufeff"


class CannotWrite(UserError):
    """A caption file that can't be written."""


def read(file: Path) -> str | None:
    """The whole file, or None where there is none. Raises BadCaption."""
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        message = f"The caption file {file} is not UTF-8 text (byte {error.start + 1}); save it as UTF-8."
        raise BadCaption(message) from error
    except OSError as error:
        message = f"The caption file {file} can't be read: {error.strerror}; check its permissions."
        raise BadCaption(message) from error


def write(file: Path, content: str | None, surely: bool = False) -> None:
    """Written whole or not at all; None takes the file away again. surely: it is on the disk when this returns, which
    takes its time. Raises CannotWrite."""
    try:
        if content is None:
            file.unlink(missing_ok=True)
            return
        with whole_file(file, lasting=surely) as new:
            new.write_bytes(content.encode("utf-8"))
    except (OSError, UnicodeEncodeError) as error:
        reason = getattr(error, "strerror", None) or "the text holds signs that are no Unicode"
        raise CannotWrite(f"The caption file {file} can't be written: {reason}; check folder and disk.") from error


def body(content: str | None) -> str:
    """What is edited: without byte order mark and the empty end of the file, lines ending as everywhere."""
    return (content or "").removeprefix(BOM).replace("\r\n", "\n").rstrip("\n")


def with_body(content: str | None, text: str) -> str:
    """The file with another body; its mark, its kind of line ends and its end are kept."""
    old = content or ""
    has_mark = old.startswith(BOM)
    rest = old.removeprefix(BOM)
    newline = "\r\n" if "\r\n" in rest else "\n"
    end = rest[len(rest.rstrip("\r\n")) :]
    return (BOM if has_mark else "") + text.replace("\r\n", "\n").replace("\n", newline) + end
