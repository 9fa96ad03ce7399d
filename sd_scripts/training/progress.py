"""Where a training stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Progress:
    """All counts say what is done. Every random draw follows from these numbers, so they are all that resuming
    needs."""

    step: int = 0  # changes of the weights
    epoch: int = 0  # whole epochs
    batches: int = 0  # of the epoch under way, by this process

    @property
    def epoch_under_way(self) -> int:
        """Counted from 1; at the end of an epoch the one that was just done."""
        return self.epoch if self.batches == 0 and self.epoch else self.epoch + 1
