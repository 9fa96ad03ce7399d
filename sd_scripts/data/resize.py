"""Pictures to another size. No torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .buckets import Size

Pixels = NDArray[np.uint8]
FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "linear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "cubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
}


def resized(picture: Pixels, size: Size, interpolation: str | None) -> Pixels:
    """To (width, height); an array of HW or HWC. Without a named interpolation: by area where both sides shrink, else
    lanczos."""
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    if interpolation is None:
        interpolation = "area" if size[0] <= width and size[1] <= height else "lanczos"
    if interpolation == "area":
        return _by_area(picture, size)
    return np.asarray(Image.fromarray(picture).resize(size, FILTERS[interpolation]))


def _by_area(picture: Pixels, size: Size) -> Pixels:
    """Each new pixel is the mean of the area it covers, parts of pixels counted by their share."""
    rows = _mean_rows(picture.astype(np.float32), size[1])
    columns = _mean_rows(rows.swapaxes(0, 1), size[0])
    return np.rint(columns.swapaxes(0, 1)).clip(0, 255).astype(np.uint8)


def _mean_rows(rows: NDArray[Any], wanted: int) -> NDArray[Any]:
    """Means of equal stretches of the first axis: the integral at the edges, its difference, divided by the length."""
    length = rows.shape[0]
    edges = np.arange(wanted + 1, dtype=np.float64) * (length / wanted)
    whole = np.minimum(edges.astype(np.int64), length)
    part = (edges - whole).astype(np.float32)
    shape = (-1, *([1] * (rows.ndim - 1)))
    starts, stops = whole[:-1], whole[1:]
    inner = np.add.reduceat(rows, np.minimum(starts, length - 1), axis=0)
    inner[starts == stops] = 0  # reduceat gives the row itself for an empty stretch
    last = np.concatenate([rows, np.zeros_like(rows[:1])])
    total = inner - last[starts] * part[:-1].reshape(shape) + last[stops] * part[1:].reshape(shape)
    return total / np.float32(length / wanted)
