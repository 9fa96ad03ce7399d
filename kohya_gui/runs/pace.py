"""How fast a run goes, and how long it takes with the samples and files that are still to come."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sd_scripts.config import load, toml
from sd_scripts.errors import UserError

PAUSES = ("sampling", "saving")
RATE_SECONDS = 60.0
RATE_EVENTS = 400


class Pace:
    """Steps a second of late, without the time that samples and saving took, and how long a round of these takes."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque(maxlen=RATE_EVENTS)
        self._paused = 0.0
        self._pause: tuple[str, float] | None = None  # which, and when it began
        self.took: dict[str, float] = {}

    def restart(self) -> None:
        """Another attempt may be on another machine; how long its samples take is not known better."""
        took = self.took
        self.__init__()  # type: ignore[misc]
        self.took = took

    def state(self, state: str, time: float) -> None:
        if self._pause is not None:
            kind, began = self._pause
            if kind == state:
                return  # the next picture of the same round
            seconds = max(0.0, time - began)
            self._paused += seconds
            self.took[kind] = (self.took.get(kind, seconds) + seconds) / 2
        self._pause = (state, time) if state in PAUSES else None

    def step(self, step: int, time: float) -> None:
        now = time - self._paused
        if self._marks and now < self._marks[-1][0]:
            self._marks.clear()  # the clock was set back
        self._marks.append((now, step))
        while len(self._marks) > 2 and now - self._marks[0][0] > RATE_SECONDS:
            self._marks.popleft()

    @property
    def per_second(self) -> float | None:
        if len(self._marks) < 2:
            return None
        (began, first), (ended, last) = self._marks[0], self._marks[-1]
        return (last - first) / (ended - began) if ended > began and last > first else None

    def rest_of_pause(self, now: float) -> float:
        """Seconds, as far as earlier rounds tell."""
        if self._pause is None:
            return 0.0
        kind, began = self._pause
        return max(0.0, self.took.get(kind, 0.0) - max(0.0, now - began))


@dataclass(frozen=True)
class Breaks:
    """After every how many steps a run draws samples and saves."""

    sampling: tuple[int, ...] = ()
    saving: tuple[int, ...] = ()

    def seconds(self, took: Mapping[str, float], step: int, total: int) -> float:
        """What is to come after `step`, with the last file."""
        drawn = sum(total // n - step // n for n in self.sampling)
        saved = sum(total // n - step // n for n in self.saving) + (not any(total % n == 0 for n in self.saving))
        return drawn * took.get("sampling", 0.0) + saved * took.get("saving", 0.0)


def breaks(config: Path, plan: Mapping[str, Any]) -> Breaks:
    """As a run's settings and plan say; none where they can't be read."""
    try:
        settings = load.from_flat(toml.read_flat(config), strict=False).config
    except (UserError, OSError):
        return Breaks()
    if settings is None:
        return Breaks()
    sampling, saving = settings.sampling, settings.saving
    epoch = -(-int(plan.get("batches_per_epoch") or 0) // settings.training.gradient_accumulation_steps)
    epochs = int(plan.get("epochs") or 0)
    every = max(1, epochs // saving.save_n_epoch_ratio) if saving.save_n_epoch_ratio else saving.save_every_n_epochs
    drawn = (sampling.sample_every_n_epochs or 0) * epoch or sampling.sample_every_n_steps
    return Breaks(
        _every(drawn if sampling.sample_prompts else None), _every(saving.save_every_n_steps, (every or 0) * epoch)
    )


def _every(*steps: int | None) -> tuple[int, ...]:
    return tuple(n for n in steps if n)
