"""The loss on images that training never sees, always with the same noise, so that its values can be compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from .. import draws
from ..config.training import TrainingConfig
from . import preserving
from .progress import Progress
from .rest import Rest

if TYPE_CHECKING:
    from ..data.dataset import Batches
    from .logging import Log


def timesteps(low: int, high: int) -> list[int]:
    """Four of them, spread evenly within (low, high)."""
    return [int(t) for t in torch.linspace(low, high, 6)[1:-1]]


@dataclass
class Validation:
    """Measures every so many steps or epochs."""

    training: TrainingConfig
    seed: int
    timesteps: Sequence[int]
    batches: Batches | None
    family: Any
    method: Any
    objective: Any
    rest: Rest
    autocast: Callable[[], Any]
    average: Callable[[torch.Tensor], torch.Tensor]  # over processes
    log: Log

    def maybe(self, progress: Progress, epoch_ended: bool) -> None:
        if self.batches is None or not self._due(progress, epoch_ended):
            return
        self.log.flush()
        with self.rest(), self.autocast():
            self.log.validated(progress, float(self.measure()))

    def _due(self, progress: Progress, epoch_ended: bool) -> bool:
        steps, epochs = self.training.validate_every_n_steps, self.training.validate_every_n_epochs
        if steps and progress.step % steps == 0:
            return True
        return epoch_ended and (progress.epoch % epochs == 0 if epochs else not steps)

    def measure(self) -> torch.Tensor:
        """Mean over batches and timesteps."""
        assert self.batches is not None
        many = min(self.batches.per_epoch, self.training.max_validation_steps or self.batches.per_epoch)
        losses = [
            self._loss(batch, timestep)
            for batch in islice(self.batches.after(0, 0), many)
            for timestep in self.timesteps
        ]
        return self.average(torch.stack(losses).mean())

    def _loss(self, batch: Any, timestep: int) -> torch.Tensor:
        generator = draws.generator(self.seed, "validation", batch.position, timestep)
        latents_BCHW = self.family.latents(batch, generator)
        t_B = torch.full((len(latents_BCHW),), timestep, dtype=torch.long)
        noisy = self.objective.disturb(latents_BCHW, generator, t_B)
        condition = self.family.condition(batch)
        noisy = preserving.aimed(batch, noisy, condition, self.family, self.method)
        predicted_BCHW = self.family.predict(noisy.latents_BCHW, noisy.timesteps_B, condition)
        return self.objective.loss(predicted_BCHW, noisy, batch.masks_B1HW, batch.weights_B)
