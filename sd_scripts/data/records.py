"""What planning knows about a data set: its subsets and one record for each image. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ..config.captions import CaptionConfig
from ..config.dataset import DatasetConfig
from .buckets import Buckets, Fit, Size, cover


@dataclass(frozen=True)
class Subset:
    """The settings of the images in one folder or metadata file.

    key: the setting that a problem with it belongs to. class_tokens: the caption of images that have none of their own.
    attributes: what a dataset file says about its images beyond the settings.
    """

    key: str
    dataset: DatasetConfig
    captions: CaptionConfig
    image_dir: Path | None = None
    metadata_file: Path | None = None
    is_reg: bool = False
    class_tokens: str | None = None
    repeats: int = 1
    masked: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As trained files call it."""
        place = self.image_dir or self.metadata_file
        return place.name if place else ""

    @property
    def mask_dir(self) -> Path | None:
        """Where its masks lie, if they are used."""
        folder = self.dataset.conditioning_data_dir
        return Path(folder) if folder and self.masked else None


class Picture(NamedTuple):
    """An image file that was found.

    file: its path, as a text because a data set can have a hundred thousand of them. size: (width, height) as it is
    looked at. captions: one text, or several to choose from.
    """

    file: str
    size: Size
    captions: tuple[str, ...]
    mask_path: Path | None = None

    @property
    def path(self) -> Path:
        return Path(self.file)


class ImageRecord(NamedTuple):
    """An image as it is trained: how often, and in which size. Sizes are (width, height), crop is (left, top)."""

    picture: Picture
    subset: Subset
    repeats: int
    fit: Fit

    @property
    def is_reg(self) -> bool:
        return self.subset.is_reg

    @property
    def path(self) -> Path:
        return self.picture.path

    @property
    def size(self) -> Size:
        return self.picture.size

    @property
    def captions(self) -> tuple[str, ...]:
        return self.picture.captions

    @property
    def mask_path(self) -> Path | None:
        return self.picture.mask_path

    @property
    def bucket(self) -> Size:
        return self.fit.bucket

    @property
    def resize_to(self) -> Size:
        return self.fit.resize_to

    @property
    def crop(self) -> tuple[int, int]:
        return self.fit.crop


@dataclass(frozen=True)
class PlannedDataset:
    """Images that are trained in one resolution and batch size."""

    config: DatasetConfig
    subsets: tuple[Subset, ...]
    records: tuple[ImageRecord, ...]
    validation: tuple[ImageRecord, ...] = ()

    @property
    def batch_size(self) -> int:
        return self.config.train_batch_size

    @cached_property
    def buckets(self) -> dict[Size, int]:
        """Size -> how many images an epoch trains in it, repeats counted; sorted."""
        counts: Counter[Size] = Counter()
        for record in self.records:
            counts[record.fit.bucket] += record.repeats
        return dict(sorted(counts.items()))

    @property
    def batches(self) -> int:
        """Batches an epoch: they never mix sizes, so the last of each size may be smaller."""
        return sum(-(-count // self.batch_size) for count in self.buckets.values())


def fit_of(config: DatasetConfig, buckets: Buckets, size: Size) -> Fit:
    """Where a picture of this size is trained."""
    if config.enable_bucket:
        return buckets.fit(size)
    is_large_enough = size[0] >= config.size[0] and size[1] >= config.size[1]
    if config.random_crop and is_large_enough:
        return Fit(config.size, size, ((size[0] - config.size[0]) // 2, (size[1] - config.size[1]) // 2))
    return cover(size, config.size)


def buckets_of(config: DatasetConfig) -> Buckets:
    return Buckets(
        config.size, config.min_bucket_reso, config.max_bucket_reso, config.bucket_reso_steps, config.bucket_no_upscale
    )


def repeated_for(wanted: int, repeats: Sequence[int]) -> list[int]:
    """Repeats of regularization images, so that they are as many as the training images.

    They are taken in order until there are enough; the rest is left out (0). If all are too few, each is shown once
    more in turn until there are enough.
    """
    taken, total = [], 0
    for count in repeats:
        taken.append(count if total < wanted else 0)
        total += taken[-1]
    missing = max(0, wanted - total)
    rounds, rest = divmod(missing, len(taken)) if taken else (0, 0)
    return [count + rounds + (place < rest) for place, count in enumerate(taken)]
