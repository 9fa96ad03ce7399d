"""The order of batches in an epoch: a function of the seed and the epoch alone. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from .. import draws
from .buckets import Size
from .records import ImageRecord, PlannedDataset


@dataclass(frozen=True)
class Place:
    """Where a sample comes from: the number of its data set, and of its record there."""

    dataset: int
    record: int


class Order:
    """Batches of all data sets. Each image comes exactly as often as its repeats say, and batches never mix sizes."""

    def __init__(self, datasets: Sequence[PlannedDataset], seed: int, shuffled: bool = True) -> None:
        self.sizes = [dataset.batch_size for dataset in datasets]
        self.samples = [_samples(number, dataset.records) for number, dataset in enumerate(datasets)]
        self.seed = seed
        self.shuffled = shuffled
        self.epoch = lru_cache(maxsize=2)(self._epoch)

    @property
    def count(self) -> int:
        """Batches in each epoch."""
        per_bucket = (
            (len(places), size) for size, made in zip(self.sizes, self.samples, strict=True) for places in made.values()
        )
        return sum(-(-many // size) for many, size in per_bucket)

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "epoch"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self.epoch = lru_cache(maxsize=2)(self._epoch)

    def _epoch(self, epoch: int) -> list[list[Place]]:
        """The batches of an epoch, counted from 0, in order."""
        batches: list[list[Place]] = []
        for number, (size, buckets) in enumerate(zip(self.sizes, self.samples, strict=True)):
            for bucket, places in buckets.items():
                mixed = list(places)
                if self.shuffled:
                    draws.python_rng(self.seed, "order in a bucket", epoch, number, *bucket).shuffle(mixed)
                batches += [mixed[start : start + size] for start in range(0, len(mixed), size)]
        if self.shuffled:
            draws.python_rng(self.seed, "order of batches", epoch).shuffle(batches)
        return batches


def _samples(number: int, records: Sequence[ImageRecord]) -> dict[Size, list[Place]]:
    """Bucket -> every image as often as it is trained in an epoch; sorted by bucket."""
    buckets: dict[Size, list[Place]] = {}
    for place, record in enumerate(records):
        buckets.setdefault(record.bucket, []).extend([Place(number, place)] * record.repeats)
    return dict(sorted(buckets.items()))
