"""The size of an image from the first bytes of its file, without decoding it. EXIF rotation counts."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO

from ..errors import UserError
from .buckets import Size

ORIENTATION = 0x0112
TURNED = (5, 6, 7, 8)  # orientations that swap width and height
USUAL = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
NEWER = (".avif", ".jxl")
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG markers that hold the size


class BadImage(UserError):
    """A file that can't be read as an image."""


class _NeedsPillow(Exception):
    """The file holds something that only a full reader understands."""


@cache
def readable_endings() -> frozenset[str]:
    """Endings of the image files that can be read here."""
    from PIL import Image

    Image.init()
    return frozenset((*USUAL, *(ending for ending in NEWER if ending in Image.registered_extensions())))


def images_among(names: Iterable[str]) -> list[str]:
    """Those of images that can be read here, sorted."""
    return ending_with(tuple(readable_endings()), names)


def ending_with(endings: tuple[str, ...], names: Iterable[str]) -> list[str]:
    """Sorted. Hidden files are none of them: other systems leave such beside images, under the images' names."""
    return sorted(name for name in names if name.lower().endswith(endings) and not name.startswith("."))


def few(names: Sequence[str]) -> str:
    """The first three, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def size_of(path: str | Path) -> Size:
    """(width, height) as the picture is looked at. Raises BadImage with the file's name."""
    try:
        with open(path, "rb") as file:
            start = file.read(32)
            if start.startswith(b"\x89PNG\r\n\x1a\n"):
                return _png(file, start)
            if start.startswith(b"\xff\xd8"):
                return _jpeg(file)
    except (_NeedsPillow, struct.error):
        pass
    except OSError as error:
        raise BadImage(
            f"The image {path} can't be read: {error.strerror}; check the file and its permissions."
        ) from error
    return _any(path)


def _png(file: BinaryIO, start: bytes) -> Size:
    if start[12:16] != b"IHDR":
        raise _NeedsPillow
    size = struct.unpack(">II", start[16:24])
    place = 33
    while True:
        file.seek(place)
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            _stop_at_orientation(file.read(min(length, 40)))
        if kind == b"eXIf":
            return _looked_at(size, file.read(length))
        if kind in (b"IDAT", b"IEND"):
            return size
        place += 12 + length


def _stop_at_orientation(text: bytes) -> None:
    if text.startswith((b"Raw profile type exif", b"XML:com.adobe.xmp")):
        raise _NeedsPillow


def _jpeg(file: BinaryIO) -> Size:
    place, orientation = 2, b""
    while True:
        file.seek(place)
        ff, marker = struct.unpack(">BB", file.read(2))
        if ff != 0xFF:
            raise _NeedsPillow
        if marker == 0xFF:
            place += 1
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if marker in FRAMES:
            _, height, width = struct.unpack(">BHH", file.read(5))
            return _looked_at((width, height), orientation)
        if marker == 0xE1:
            orientation = _exif(file.read(length - 2)) or orientation
        if marker == 0xDA:
            raise _NeedsPillow
        place += 2 + length


def _exif(segment: bytes) -> bytes:
    if b"tiff:Orientation" in segment:
        raise _NeedsPillow
    return segment[6:] if segment.startswith(b"Exif\0\0") else b""


def _looked_at(size: Size, tiff: bytes) -> Size:
    width, height = size
    if not width or not height:
        raise _NeedsPillow
    return (height, width) if _orientation(tiff) in TURNED else (width, height)


def _orientation(tiff: bytes) -> int:
    """From the first directory of a TIFF block; 1, upright, where it says nothing."""
    if tiff[:2] not in (b"II", b"MM"):
        return 1
    order = "<" if tiff[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, directory)
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
        if tag == ORIENTATION:
            return int(value)
    return 1


def _any(path: str | Path) -> Size:
    from PIL import Image

    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            turned = image.getexif().get(ORIENTATION) in TURNED
            return (image.height, image.width) if turned else (image.width, image.height)
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        message = f"The image {path} is broken or no image; replace it or take it out of the folder."
        raise BadImage(message) from error
