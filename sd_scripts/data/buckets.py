"""Aspect ratio buckets: which size a picture is trained in, and how it gets there.

All sizes are (width, height) in pixels. The rules are those of sd-scripts, so that the same images end in the same
buckets.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

Size = tuple[int, int]


class Fit(NamedTuple):
    """How a picture is brought into its bucket: resized to `resize_to`, which covers the bucket, then cut at `crop`."""

    bucket: Size
    resize_to: Size
    crop: tuple[int, int]  # left, top


@dataclass(frozen=True)
class Buckets:
    """resolution: gives the area. step: sides are multiples of it. lowest, highest: limits of the sides."""

    resolution: Size
    lowest: int
    highest: int
    step: int
    no_upscale: bool = False

    @cached_property
    def table(self) -> list[Size]:
        """All buckets of fixed sizes whose area is at most that of the resolution, sorted."""
        area = self.resolution[0] * self.resolution[1]
        lowest = self.lowest // self.step * self.step
        highest = math.ceil(self.highest / self.step) * self.step
        square = int(math.sqrt(area) // self.step) * self.step
        sizes = {(square, square)}
        for width in range(max(lowest, self.step), highest + 1, self.step):
            height = min(highest, area // width // self.step * self.step)
            if height >= max(lowest, self.step):
                sizes |= {(width, height), (height, width)}
        return sorted(sizes)

    @cached_property
    def _sizes(self) -> frozenset[Size]:
        return frozenset(self.table)

    def fit(self, size: Size) -> Fit:
        return self._shrunk(size) if self.no_upscale else cover(size, self._nearest(size))

    def _nearest(self, size: Size) -> Size:
        if size in self._sizes:
            return size
        ratios, buckets = self._by_ratio
        ratio = size[0] / size[1]
        right = min(bisect_left(ratios, ratio), len(ratios) - 1)
        left = max(right - 1, 0)
        below, above = ratio - ratios[left], ratios[right] - ratio
        if abs(below) == abs(above):
            return min(buckets[left], buckets[right])
        return buckets[left] if abs(below) < abs(above) else buckets[right]

    @cached_property
    def _by_ratio(self) -> tuple[list[float], list[Size]]:
        """Rising ratios of width to height, and for each the first bucket in the table that has it."""
        first: dict[float, Size] = {}
        for bucket in self.table:
            first.setdefault(bucket[0] / bucket[1], bucket)
        ratios = sorted(first)
        return ratios, [first[ratio] for ratio in ratios]

    def _shrunk(self, size: Size) -> Fit:
        """A bucket of the picture's own size, or of its shape within the area where it is larger."""
        width, height = size
        area = self.resolution[0] * self.resolution[1]
        resized = self._within(size, area) if width * height > area else size
        bucket = (resized[0] // self.step * self.step, resized[1] // self.step * self.step)
        return Fit(bucket, resized, _middle(resized, bucket))

    def _within(self, size: Size, area: int) -> Size:
        """Two candidates have one side a multiple of the step; the one that distorts the picture least is taken."""
        ratio = size[0] / size[1]
        exact_width = math.sqrt(area * ratio)
        exact_height = area / exact_width
        width = self._whole_steps(exact_width)
        by_width = (width, self._whole_steps(width / ratio))
        height = self._whole_steps(exact_height)
        by_height = (self._whole_steps(height * ratio), height)
        if _error(by_width, ratio) < _error(by_height, ratio):
            return width, int(width / ratio + 0.5)
        return int(height * ratio + 0.5), height

    def _whole_steps(self, length: float) -> int:
        rounded = int(length + 0.5)
        return rounded - rounded % self.step


def _error(size: Size, ratio: float) -> float:
    return abs(size[0] / size[1] - ratio) if size[1] else math.inf


def cover(size: Size, bucket: Size) -> Fit:
    """Resize so that the bucket is just covered, and cut the middle."""
    if size[0] / size[1] > bucket[0] / bucket[1]:
        scale = bucket[1] / size[1]
    else:
        scale = bucket[0] / size[0]
    resized = int(size[0] * scale + 0.5), int(size[1] * scale + 0.5)
    return Fit(bucket, resized, _middle(resized, bucket))


def _middle(size: Size, bucket: Size) -> tuple[int, int]:
    return (size[0] - bucket[0]) // 2, (size[1] - bucket[1]) // 2


def ratio_error(fit: Fit, size: Size) -> float:
    """How far the bucket's shape is from the picture's; its mean over images is noted in trained files."""
    return abs(fit.bucket[0] / fit.bucket[1] - size[0] / size[1])


def conditioning_crop(size: Size, bucket: Size) -> tuple[int, int]:
    """(left, top) that SDXL is told: the margins of the whole picture fitted *into* the bucket, as sd-scripts tells
    it."""
    scale = min(bucket[0] / size[0], bucket[1] / size[1])
    return int((bucket[0] - size[0] * scale) // 2), int((bucket[1] - size[1] * scale) // 2)
