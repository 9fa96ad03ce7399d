"""What an image is from the first bytes of its file, without decoding it. EXIF rotation counts."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..errors import UserError
from . import cut_off, pieces
from .buckets import Size

ORIENTATION = 0x0112
TURNED = (5, 6, 7, 8)  # orientations that swap width and height
USUAL = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
NEWER = (".avif", ".jxl")
WEBP_ANIMATED, WEBP_NOTES = 0x02, 0x0C  # flags; notes are EXIF and XMP
SEVERAL_VIEWS = "MPO"
"""Photographs with other views of what they show, or with a small picture of themselves."""
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


class Header(NamedTuple):
    """Size as the picture is looked at. animated: it holds several pictures, which are shown one after the other."""

    width: int
    height: int
    animated: bool = False


def look(path: str | Path) -> Header:
    """What a whole image file says of itself. Raises BadImage with the file's name where it is broken or cut off."""
    try:
        with open(path, "rb") as file:
            start = file.read(32)
            header = _header(file, start)
            in_doubt = cut_off.in_doubt(file, start)
    except OSError as error:
        raise BadImage(
            f"The image {path} can't be read: {error.strerror}; check the file and its permissions."
        ) from error
    return _by_pillow(path, in_doubt) if header is None or in_doubt else header


def size_of(path: str | Path) -> Size:
    """(width, height) as the picture is looked at. Raises BadImage with the file's name."""
    return look(path)[:2]


def _header(file: BinaryIO, start: bytes) -> Header | None:
    """None where only a full reader understands it."""
    try:
        if start.startswith(pieces.PNG):
            return _png(file, start)
        if start.startswith(pieces.JPEG):
            return _jpeg(file)
        if start.startswith(pieces.RIFF):
            return _webp(file, start)
    except (_NeedsPillow, pieces.NoSegment, struct.error):
        pass
    return None


def _png(file: BinaryIO, start: bytes) -> Header:
    if start[12:16] != b"IHDR":
        raise _NeedsPillow
    tiff, animated = b"", False
    for kind, length in pieces.png_chunks(file):
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            _stop_at_orientation(file.read(min(length, 40)))
        elif kind == b"eXIf":
            tiff = file.read(length)
        elif kind == b"acTL":
            animated = struct.unpack(">I", file.read(4))[0] > 1
        elif kind in (b"IDAT", b"IEND"):
            break
    return _looked_at(struct.unpack(">II", start[16:24]), tiff, animated)


def _stop_at_orientation(text: bytes) -> None:
    if text.startswith((b"Raw profile type exif", b"XML:com.adobe.xmp")):
        raise _NeedsPillow


def _jpeg(file: BinaryIO) -> Header:
    orientation = b""
    for marker, length in pieces.jpeg_segments(file):
        if marker in FRAMES:
            _, height, width = struct.unpack(">BHH", file.read(5))
            return _looked_at((width, height), orientation)
        if marker == 0xE1:
            orientation = _exif(file.read(length)) or orientation
    raise _NeedsPillow


def _webp(file: BinaryIO, start: bytes) -> Header:
    kind, content = start[12:16], start[20:]
    if kind == b"VP8X":
        flags, width, height = content[0], 1 + _little(content[4:7]), 1 + _little(content[7:10])
        tiff = _webp_exif(file) if flags & WEBP_NOTES else b""
        return _looked_at((width, height), tiff, bool(flags & WEBP_ANIMATED))
    if kind == b"VP8L":
        bits = _little(content[1:5])
        return _looked_at((1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)), b"")
    if kind == b"VP8 " and content[3:6] == b"\x9d\x01\x2a":
        return _looked_at((_little(content[6:8]) & 0x3FFF, _little(content[8:10]) & 0x3FFF), b"")
    raise _NeedsPillow


def _little(number: bytes) -> int:
    return int.from_bytes(number, "little")


def _webp_exif(file: BinaryIO) -> bytes:
    tiff = b""
    for kind, length in pieces.webp_chunks(file):
        if kind == b"EXIF":
            tiff = file.read(length).removeprefix(b"Exif\0\0")
        if kind == b"XMP " and b"tiff:Orientation" in file.read(length):
            raise _NeedsPillow
    return tiff


def _exif(segment: bytes) -> bytes:
    if b"tiff:Orientation" in segment:
        raise _NeedsPillow
    return segment[6:] if segment.startswith(b"Exif\0\0") else b""


def _looked_at(size: Size, tiff: bytes, animated: bool = False) -> Header:
    width, height = size
    if not width or not height:
        raise _NeedsPillow
    return Header(height, width, animated) if _orientation(tiff) in TURNED else Header(width, height, animated)


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


def _by_pillow(path: str | Path, decoded: bool) -> Header:
    """decoded: it is, to see whether the file holds the whole picture."""
    from PIL import Image

    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            turned = image.getexif().get(ORIENTATION) in TURNED
            animated = getattr(image, "is_animated", False) and image.format != SEVERAL_VIEWS
            if decoded:
                image.load()
            return Header(*(image.size[::-1] if turned else image.size), animated)
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        if decoded:
            message = f"The image {path} is cut off; copy or download it again, or take it out of the folder."
        else:
            message = f"The image {path} is broken or no image; replace it or take it out of the folder."
        raise BadImage(message) from error
