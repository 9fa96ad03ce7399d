"""Caption files: which file belongs to an image, and what it says."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

from ..errors import UserError

OTHER_ENDINGS = (".txt", ".caption", ".cap")
FACE_PARTS = 4  # _x_y_width_height at the end of a file's name


class BadCaption(UserError):
    """A caption file that can't be read as text."""


def file_for(stem: str, ending: str, names: Container[str]) -> str | None:
    """The caption file of an image: of the same name, or of its name without the place of a face."""
    if stem + ending in names:
        return stem + ending
    parts = stem.split("_")
    if len(parts) > FACE_PARTS and "_".join(parts[:-FACE_PARTS]) + ending in names:
        return "_".join(parts[:-FACE_PARTS]) + ending
    return None


def read_lines(file: str | Path) -> tuple[str, ...]:
    """The lines that aren't blank. Raises BadCaption with the file's name."""
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"The caption file {file} is not UTF-8 text (byte {error.start + 1}); save it as UTF-8."
        raise BadCaption(message) from error
    except OSError as error:
        message = f"The caption file {file} can't be read: {error.strerror}; check its permissions."
        raise BadCaption(message) from error
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def face_place(stem: str) -> tuple[int, int, int, int] | None:
    """(centre x, centre y, width, height) in pixels from the end of a file's name, if it stands there."""
    parts = stem.split("_")[-FACE_PARTS:]
    if len(stem.split("_")) <= FACE_PARTS or not all(part.isdigit() for part in parts):
        return None
    x, y, width, height = map(int, parts)
    return x, y, width, height
