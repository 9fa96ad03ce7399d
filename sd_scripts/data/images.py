"""Image files -> the pixels of their buckets. Arrays are HWC uint8, masks HW uint8; every draw comes from a given
`Random`."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from .buckets import Size
from .headers import BadImage
from .records import ImageRecord
from .resize import resized
from .texts import face_place

if TYPE_CHECKING:
    from torch import Tensor

Pixels = NDArray[np.uint8]
SHARE_OF_COLOR_AUG = 0.33


@dataclass(frozen=True)
class Shown:
    """A picture as it is trained: in its bucket's size, with its mask if it has one."""

    pixels: Pixels
    mask: NDArray[np.uint8] | None


@dataclass(frozen=True)
class Draws:
    """What is drawn for one sample. None: nothing is (cached latents, validation)."""

    crop: Random
    color: Random
    flip: bool


def show(record: ImageRecord, drawn: Draws | None, content: bytes | None = None) -> Shown:
    """The picture of a record, cut and augmented. Raises BadImage with the file's name."""
    picture, alpha = load(record.path, record.subset.dataset.alpha_mask, content)
    if (picture.shape[1], picture.shape[0]) != record.size:
        message = f"The image {record.path} has changed its size since the training was planned; start again."
        raise BadImage(message)
    mask = _mask(record, alpha)
    cut = _cut_of(record, drawn)
    pixels = cut.applied(picture, record.subset.dataset.resize_interpolation)
    shown_mask = None if mask is None else cut.applied(mask, None)
    if drawn is not None and record.subset.dataset.color_aug:
        pixels = recolored(pixels, drawn.color)
    if drawn is not None and drawn.flip:
        pixels = pixels[:, ::-1]
        shown_mask = None if shown_mask is None else shown_mask[:, ::-1]
    return Shown(pixels, shown_mask)


def load(path: Path, with_alpha: bool = False, content: bytes | None = None) -> tuple[Pixels, Pixels | None]:
    """RGB as it is looked at, and transparency (255 is solid). Raises BadImage with the file's name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content) if content is not None else path) as opened:
                picture = _eight_bits(ImageOps.exif_transpose(opened))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        message = f"The image {path} is broken or can't be read; replace it or take it out of the folder."
        raise BadImage(message) from error
    solid = picture.convert("RGBA") if picture.has_transparency_data else picture
    alpha = np.asarray(solid.getchannel("A")) if with_alpha and solid.mode == "RGBA" else None
    pixels = np.asarray(solid.convert("RGB"))
    if with_alpha and alpha is None:
        alpha = np.full(pixels.shape[:2], 255, np.uint8)
    return pixels, alpha


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Grey pictures of 16 bits lose their lower half; Pillow alone would cut off all that is brighter than 255."""
    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture).astype(np.int64)
    return Image.fromarray((values.clip(0, 65535) // 257).astype(np.uint8))


def _mask(record: ImageRecord, alpha: Pixels | None) -> Pixels | None:
    """The red channel of the mask image, or the picture's own transparency."""
    if record.mask_path is None:
        return alpha
    mask = load(record.mask_path)[0][..., 0]
    if mask.shape != (record.size[1], record.size[0]):
        mask = resized(mask, record.size, "bilinear")
    return mask


@dataclass(frozen=True)
class _Cut:
    """Resize to a size, then take a bucket at (left, top)."""

    size: Size
    left: int
    top: int
    bucket: Size

    def applied(self, picture: Pixels, interpolation: str | None) -> Pixels:
        width, height = self.bucket
        whole = resized(picture, self.size, interpolation)
        return whole[self.top : self.top + height, self.left : self.left + width]


def _cut_of(record: ImageRecord, drawn: Draws | None) -> _Cut:
    data = record.subset.dataset
    face = face_place(record.path.stem) if data.face_range and not data.enable_bucket else None
    if drawn is not None and face is not None:
        return _around_face(record, face, drawn.crop)
    left, top = record.crop
    if drawn is not None and data.random_crop:
        left = drawn.crop.randint(0, record.resize_to[0] - record.bucket[0])
        top = drawn.crop.randint(0, record.resize_to[1] - record.bucket[1])
    return _Cut(record.resize_to, left, top, record.bucket)


def _around_face(record: ImageRecord, face: tuple[int, int, int, int], rng: Random) -> _Cut:
    """A cut around the face in which the bucket's shorter side is a drawn number of times the face's size."""
    x, y, face_width, face_height = face
    low, high = record.subset.dataset.face_range or (1.0, 1.0)
    covering = max(record.bucket[0] / record.size[0], record.bucket[1] / record.size[1])
    side, face_side = min(record.bucket), max(face_width, face_height, 1)
    smallest = min(1.0, side / (face_side * high))
    largest = min(1.0, side / (face_side * low))
    scale = max(covering, rng.uniform(smallest, largest))
    size = (
        max(record.bucket[0], int(record.size[0] * scale + 0.5)),
        max(record.bucket[1], int(record.size[1] * scale + 0.5)),
    )
    left, top = (
        min(max(0, int(centre * scale) - bucket // 2), whole - bucket)
        for centre, bucket, whole in zip((x, y), record.bucket, size, strict=True)
    )
    return _Cut(size, left, top, record.bucket)


def recolored(pixels: Pixels, rng: Random) -> Pixels:
    """A third of the pictures: half of these get another hue, the others another brightness."""
    if rng.random() >= SHARE_OF_COLOR_AUG:
        return pixels
    if rng.random() < 0.5:
        return _turned_hue(pixels, rng.uniform(-8, 8))
    return np.clip(pixels.astype(np.float32) ** rng.uniform(0.95, 1.05), 0, 255).astype(np.uint8)


def _turned_hue(pixels: Pixels, shift: float) -> Pixels:
    """`shift` in units of 2 degrees."""
    hue, saturation, value = Image.fromarray(pixels).convert("HSV").split()
    steps = round(shift * 256 / 180)
    hue = hue.point([(place + steps) % 256 for place in range(256)])
    return np.asarray(Image.merge("HSV", (hue, saturation, value)).convert("RGB"))


def to_tensor(pixels: Pixels) -> Tensor:
    """HWC 0..255 -> CHW -1..1."""
    import torch  # here, because plans show pictures without it

    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float() / 127.5 - 1.0


def mask_tensor(mask: NDArray[np.uint8]) -> Tensor:
    """HW 0..255 -> 1HW 0..1."""
    import torch

    return torch.from_numpy(mask.copy()).float()[None] / 255.0
