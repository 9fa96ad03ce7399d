"""Whether an image file may have been cut off, as a broken download is: it does not end as its format says."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from . import pieces

JPEG_END = b"\xff\xd9"
PNG_END = b"IEND\xaeB`\x82"
BOX_TO_THE_END = 0


def in_doubt(file: BinaryIO, start: bytes) -> bool:
    """start: the file's first bytes, and as many of its last are looked at. Where it is true only a decoder can tell;
    other formats are never in doubt."""
    try:
        if start.startswith(pieces.JPEG):
            return not (_ends_with(JPEG_END, file, len(start)) or _jpeg_has_end(file))
        if start.startswith(pieces.PNG):
            return not (_ends_with(PNG_END, file, len(start)) or _holds(PNG_END, file))
        return _length(file) < _length_told(file, start)
    except (struct.error, pieces.NoSegment):
        return True


def _ends_with(end: bytes, file: BinaryIO, last: int) -> bool:
    file.seek(-last, os.SEEK_END)
    return end in file.read(last)


def _holds(end: bytes, file: BinaryIO) -> bool:
    """Cameras and phones put notes and films behind the picture."""
    file.seek(0)
    return end in file.read()


def _jpeg_has_end(file: BinaryIO) -> bool:
    """Before the pixels there may be a small picture with an end of its own; within them no end can stand."""
    for _ in pieces.jpeg_segments(file):
        pass
    return JPEG_END in file.read()


def _length(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)


def _length_told(file: BinaryIO, start: bytes) -> int:
    """What the file itself says, where it does."""
    if start.startswith(pieces.RIFF):
        return 8 + int(struct.unpack_from("<I", start, 4)[0])
    if start.startswith(pieces.BMP):
        return int(struct.unpack_from("<I", start, 2)[0])
    return _end_of_boxes(file) if start[4:8] == b"ftyp" else 0


def _end_of_boxes(file: BinaryIO) -> int:
    """AVIF files are a row of boxes, each of which tells its length."""
    place, length = 0, _length(file)
    while place < length:
        file.seek(place)
        (size,) = struct.unpack(">I4x", file.read(8))
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
        if size == BOX_TO_THE_END:
            return length
        place += size
    return place
