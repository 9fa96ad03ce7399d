"""Copies of a folder's pictures with fewer pixels. The pictures themselves stay as they are."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageOps

from ..adapters.io import saved
from ..data import headers
from ..errors import UserError
from .data_settings import ResizeImagesSettings
from .progress import amount, counted
from .tool import Say

KEY = "dst_img_folder"
FILTERS = {
    "area": Image.Resampling.BOX, "box": Image.Resampling.BOX, "cubic": Image.Resampling.BICUBIC,
    "lanczos4": Image.Resampling.LANCZOS, "nearest": Image.Resampling.NEAREST, "linear": Image.Resampling.BILINEAR,
}  # fmt: skip
JPEG = (".jpg", ".jpeg")
IN_PNG = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
BEST = 100


def run(settings: ResizeImagesSettings, say: Say) -> None:
    source, target = Path(settings.src_img_folder).expanduser(), Path(settings.dst_img_folder).expanduser()
    if not source.is_dir():
        raise UserError(f"src_img_folder: There is no folder {source}; check its spelling.")
    names = os.listdir(source)
    images = headers.images_among(names)
    if not images:
        raise UserError(f"src_img_folder: {source} has no pictures in it; choose another folder.")
    _check_names(images)
    for name in counted(images, say):
        _copies(source / name, target, settings)
        if settings.copy_associated_files:
            _copy_others(source, target, name, names, settings.max_resolution)
    say(f"Saved {amount(len(images), 'picture')} in {amount(len(settings.max_resolution), 'resolution')} to {target}.")


def scaled(width: int, height: int, most: int) -> tuple[int, int]:
    """The size with at most `most` pixels, of the same shape."""
    share = min(math.sqrt(most / (width * height)), 1)
    return max(int(width * share), 1), max(int(height * share), 1)


def _check_names(images: list[str]) -> None:
    stems: dict[str, str] = {}
    for name in images:
        other = stems.setdefault(Path(name).stem, name)
        if other != name:
            raise UserError(
                f"src_img_folder: The copies of {other} and {name} would have one name; rename one of them."
            )


def _copies(file: Path, target: Path, settings: ResizeImagesSettings) -> None:
    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened)
            image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"src_img_folder: {file} is broken or no picture; take it out of the folder.") from error
    for size in settings.max_resolution:
        width, height = map(int, size.split("x"))
        small = _small(image, width * height, settings, file)
        is_jpeg = file.suffix.lower() in JPEG and not settings.save_as_png
        _save(small, target / f"{file.stem}+{size}{file.suffix if is_jpeg else '.png'}", is_jpeg)


def _small(image: Image.Image, most: int, settings: ResizeImagesSettings, file: Path) -> Image.Image:
    width, height = scaled(*image.size, most)
    unit = settings.divisible_by
    inner = width - width % unit, height - height % unit
    if not all(inner):
        raise UserError(f"divisible_by: {file} would have no pixels left at {width}x{height}; make it smaller.")
    resized = image if image.size == (width, height) else image.resize((width, height), _filter(image, settings))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    return resized.crop((left, top, left + inner[0], top + inner[1]))


def _filter(image: Image.Image, settings: ResizeImagesSettings) -> Image.Resampling:
    """Colours of a palette can't be mixed."""
    return Image.Resampling.NEAREST if image.mode in ("P", "1") else FILTERS[settings.interpolation or "area"]


def _save(image: Image.Image, path: Path, is_jpeg: bool) -> None:
    with saved(path, KEY) as new:
        if is_jpeg:
            image.save(new, "JPEG", quality=BEST, subsampling=0)
        else:
            (image if image.mode in IN_PNG else image.convert("RGB")).save(new, "PNG")


def _copy_others(source: Path, target: Path, image: str, names: list[str], sizes: tuple[str, ...]) -> None:
    for other in _beside(image, names):
        content = (source / other).read_bytes()
        for size in sizes:
            with saved(target / f"{Path(image).stem}+{size}{Path(other).suffix}", KEY) as new:
                new.write_bytes(content)


def _beside(image: str, names: list[str]) -> Iterator[str]:
    stem = Path(image).stem
    return (name for name in names if Path(name).stem == stem and name != image)
