"""A loss curve of any length in little memory: neighbours are averaged as it grows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite


@dataclass
class Bucket:
    """`count` neighbouring steps as one point."""

    first: int
    last: int
    count: int
    total: float
    low: float
    high: float
    rates: Mapping[str, float]

    def add(self, step: int, loss: float, rates: Mapping[str, float]) -> None:
        self.last, self.count, self.total, self.rates = step, self.count + 1, self.total + loss, rates
        self.low, self.high = min(self.low, loss), max(self.high, loss)

    def join(self, later: Bucket) -> None:
        self.last = later.last
        self.count += later.count
        self.total += later.total
        self.low = min(self.low, later.low)
        self.high = max(self.high, later.high)
        self.rates = later.rates


@dataclass
class Curve:
    """Loss and learning rates over the steps as at most `limit` points. Adding a step always costs the same.

    A reader that knows `generation` and its number of points asks for those from the last one on, which may have grown.
    """

    limit: int = 1000
    stride: int = 1
    generation: int = 0
    buckets: list[Bucket] = field(default_factory=list)

    def add(self, step: int, loss: float, rates: Mapping[str, float]) -> None:
        """A loss that is no finite number leaves a gap."""
        if not isfinite(loss):
            return
        if self.buckets and self.buckets[-1].count < self.stride:
            self.buckets[-1].add(step, loss, rates)
        else:
            self.buckets.append(Bucket(step, step, 1, loss, loss, loss, rates))
        if len(self.buckets) > self.limit:
            self._halve()

    def _halve(self) -> None:
        for early, late in zip(self.buckets[::2], self.buckets[1::2], strict=False):
            early.join(late)
        self.buckets = self.buckets[::2]
        self.stride *= 2
        self.generation += 1

    def rewind(self, step: int) -> None:
        """Forget what came after `step`: a resumed run trains it again."""
        if self.buckets and self.buckets[-1].last > step:
            self.buckets = [bucket for bucket in self.buckets if bucket.last <= step]
            self.generation += 1

    def since(self, generation: int, known: int) -> dict[str, object]:
        """Points [step, mean, low, high, [rates]] from index `from` on, as JSON holds them."""
        start = max(known - 1, 0) if generation == self.generation else 0
        names = list(dict.fromkeys(name for bucket in self.buckets[-1:] for name in bucket.rates))
        points = [
            [b.last, b.total / b.count, b.low, b.high, [b.rates.get(name) for name in names]]
            for b in self.buckets[start:]
        ]
        return {"generation": self.generation, "from": start, "rates": names, "points": points}
