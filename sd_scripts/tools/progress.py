"""What tools say: how far they are, and how many of something there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
MARK = "… "
"""A line that begins so is about the same work as the one before it, whose place it may take."""
EVERY = 2.0
"""Seconds between two such lines."""


class Progress:
    """Says from time to time how many of `total` steps are done."""

    def __init__(self, say: Callable[[str], None], total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.say, self.total, self.clock = say, total, clock
        self.done = 0
        self.started = self.said = clock()

    def step(self) -> None:
        self.done += 1
        now = self.clock()
        if now - self.said >= EVERY and self.done < self.total:
            self.said = now
            left = (now - self.started) / self.done * (self.total - self.done)
            self.say(f"{MARK}{self.done} of {self.total}, about {_duration(left)} left")


def counted(items: Iterable[Item], say: Callable[[str], None]) -> Iterator[Item]:
    """The items, with progress told after each."""
    known = list(items)
    progress = Progress(say, len(known))
    for item in known:
        yield item
        progress.step()


def amount(count: int, noun: str) -> str:
    """`1 module`, `2 modules`."""
    return f"{count} {noun}{'s' * (count != 1)}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
