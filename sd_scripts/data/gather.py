"""Subsets -> the records of one data set: images found, masks matched, some kept for validation, repeats and buckets
set."""

from __future__ import annotations

from dataclasses import dataclass, field

from .. import draws
from ..config.dataset import DatasetConfig
from ..config.schema import Notice, Problem
from . import folders, metadata
from .buckets import Fit, Size
from .masks import Masks
from .records import ImageRecord, Picture, PlannedDataset, Subset, buckets_of, fit_of, repeated_for


@dataclass(frozen=True)
class Split:
    """Which images are kept out of training. share: of the images of each subset."""

    share: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class DatasetSettings:
    """What is to be gathered into one data set. number: among the data sets, from 0."""

    config: DatasetConfig
    subsets: tuple[Subset, ...]
    split: Split = Split()
    number: int = 0


@dataclass
class _Gathering:
    settings: DatasetSettings
    training: list[ImageRecord] = field(default_factory=list)
    regularization: list[ImageRecord] = field(default_factory=list)
    validation: list[ImageRecord] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def gather(settings: DatasetSettings) -> tuple[PlannedDataset, list[Problem]]:
    """The data set, as far as it can be read, and everything to be said about it."""
    work = _Gathering(settings)
    fits, masks = _Fits(settings.config), Masks()
    for number, subset in enumerate(settings.subsets):
        found = metadata.scan(subset) if subset.metadata_file else folders.scan(subset)
        work.problems += found.problems
        pictures = masks.added(subset, found.pictures)
        records = [record for picture in pictures if (record := fits.record(picture, subset, work.problems))]
        if subset.is_reg:
            work.regularization += records
            continue
        kept, held_out = _divided(records, settings.split, settings.number, number)
        work.training += kept
        work.validation += held_out
    if settings.split.share and work.training and not work.validation:
        message = f"{settings.split.share:g} of so few images is none, so there is no validation; raise it."
        work.problems.append(Notice("validation_split", message))
    work.problems += masks.problems()
    regularization = _matched(work)
    images = (*work.training, *regularization)
    return PlannedDataset(settings.config, settings.subsets, images, tuple(work.validation)), work.problems


class _Fits:
    """Bucket for a picture's size; many pictures share a size."""

    def __init__(self, config: DatasetConfig) -> None:
        self.config = config
        self.buckets = buckets_of(config)
        self._known: dict[Size, Fit] = {}

    def record(self, picture: Picture, subset: Subset, problems: list[Problem]) -> ImageRecord | None:
        fit = self._known.get(picture.size)
        if fit is None:
            fit = self._known[picture.size] = fit_of(self.config, self.buckets, picture.size)
        if not (fit.bucket[0] and fit.bucket[1]):
            step = self.config.bucket_reso_steps
            width, height = picture.size
            message = f"The image {picture.path} is {width}x{height}, smaller than bucket_reso_steps {step}; "
            problems.append(Problem("bucket_no_upscale", message + "enlarge it, lower the steps, or turn this off."))
            return None
        return ImageRecord(picture, subset, subset.repeats, fit)


def _divided(
    records: list[ImageRecord], split: Split, dataset: int, subset: int
) -> tuple[list[ImageRecord], list[ImageRecord]]:
    """Two lists that share no image; one image at least stays in training. Order is kept; held-out images come once."""
    many = min(int(len(records) * split.share + 0.5), len(records) - 1)
    if many <= 0:
        return records, []
    chosen = set(draws.python_rng(split.seed, "validation split", dataset, subset).sample(range(len(records)), many))
    held_out = [record._replace(repeats=1) for place, record in enumerate(records) if place in chosen]
    return [record for place, record in enumerate(records) if place not in chosen], held_out


def _matched(work: _Gathering) -> list[ImageRecord]:
    """Regularization images, as many as training images."""
    if not work.regularization:
        return []
    wanted = sum(record.repeats for record in work.training)
    repeats = repeated_for(wanted, [record.repeats for record in work.regularization])
    unused = repeats.count(0)
    if unused and wanted:
        message = f"{unused} of {len(repeats)} regularization images aren't used: the others are enough for the"
        work.problems.append(Notice(work.regularization[0].subset.key, f"{message} {wanted} samples of an epoch."))
    return [
        record if record.repeats == count else record._replace(repeats=count)
        for record, count in zip(work.regularization, repeats, strict=True)
        if count
    ]
