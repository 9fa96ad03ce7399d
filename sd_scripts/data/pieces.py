"""The pieces that image files consist of, one after the other: the kind and length of each, with the file standing at
its content. Raises struct.error where the file ends within a piece's head."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8"
RIFF = b"RIFF"
BMP = b"BM"
PIXELS = 0xDA
"""The JPEG segment behind which the picture itself begins."""


class NoSegment(Exception):
    """A JPEG file has something else where a segment should begin."""


def jpeg_segments(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Up to the pixels. The kind is the marker's second byte."""
    place, marker = 2, 0
    while marker != PIXELS:
        file.seek(place)
        ff, marker = struct.unpack(">BB", file.read(2))
        if ff != 0xFF:
            raise NoSegment
        if marker == 0xFF:  # any number of them may stand before a marker
            place += 1
            continue
        (length,) = struct.unpack(">H", file.read(2))
        yield marker, length - 2
        place += 2 + length


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Those behind the header, which has the first 33 bytes."""
    place = 33
    while True:
        file.seek(place)
        length, kind = struct.unpack(">I4s", file.read(8))
        yield kind, length
        place += 12 + length


def webp_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """All of them; each is filled up to an even length."""
    place = 12
    while True:
        file.seek(place)
        head = file.read(8)
        if not head:
            return
        kind, length = struct.unpack("<4sI", head)
        yield kind, length
        place += 8 + length + length % 2
