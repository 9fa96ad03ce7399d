"""Small pictures for pages, made of the files as they are. Pillow only."""

from __future__ import annotations

import io
import threading
import warnings
from pathlib import Path

from fastapi.responses import Response
from PIL import Image, ImageOps

from sd_scripts.data.headers import BadImage

AT_ONCE = threading.BoundedSemaphore(3)  # decoding a large picture takes its memory
LARGEST_SIDE = 1600
KEPT_SECONDS = 86_400


def small(path: Path, side: int) -> bytes:
    """The picture as it is looked at, its longer side at most `side` pixels, as WebP. Raises BadImage."""
    try:
        with AT_ONCE, warnings.catch_warnings(), Image.open(path) as opened:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened.draft("RGB", (side, side))  # JPEG can be read at a fraction of its size
            return packed(ImageOps.exif_transpose(opened), side)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadImage(f"The image {path} is broken or can't be read.") from error


def packed(picture: Image.Image, side: int) -> bytes:
    """As WebP, no longer than `side`."""
    shown = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    shown.thumbnail((side, side), Image.Resampling.LANCZOS)
    into = io.BytesIO()
    shown.save(into, "WEBP", quality=85, method=2)
    return into.getvalue()


def answer(content: bytes) -> Response:
    """Kept by the browser: the address of a picture that has changed is another one."""
    return Response(
        content, media_type="image/webp", headers={"Cache-Control": f"private, max-age={KEPT_SECONDS}, immutable"}
    )


def within(side: int) -> int:
    return min(max(side, 16), LARGEST_SIDE)
