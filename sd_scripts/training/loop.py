"""The one training loop, for every family and method."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from torch import Tensor

from .. import draws
from . import preserving
from .progress import Progress

if TYPE_CHECKING:
    from ..data.dataset import Batch, Batches
    from ..families.base import ModelFamily
    from ..methods.base import Method
    from ..objective import Objective
    from .checkpoints import Checkpoints
    from .control import Control
    from .logging import Log
    from .sampling import Sampler
    from .validation import Validation


SHARED_AT_ONCE = 25_000_000
"""How many numbers of gradients go between processes at a time."""


@dataclass(frozen=True)
class Rules:
    """How the weights are changed."""

    seed: int
    total_steps: int
    accumulate: int = 1  # batches for one step
    max_grad_norm: float = 0.0
    stop_text_encoder_after: int | None = None  # steps
    in_backward: bool = False  # the optimizer changes weights as soon as their gradients are there


@dataclass
class Trainer:
    """Trains what `method` makes trainable in a model of `family` until the plan is done or a stop is asked for."""

    rules: Rules
    accelerator: Accelerator
    family: ModelFamily
    method: Method
    objective: Objective
    batches: Batches
    optimizer: Any
    schedule: Any
    checkpoints: Checkpoints
    sampler: Sampler
    validation: Validation
    log: Log
    control: Control
    offload: AbstractContextManager[Any]
    progress: Progress
    _text_encoder_is_stopped: bool = False
    _first_step: int = 0

    def run(self) -> None:
        self.checkpoints.resume(self.progress)
        self._first_step = self.progress.step
        self.control.changes.begin(self)
        self._stop_text_encoder_if_due()
        self.sampler.before_training(self.progress)
        self.log.training(self.progress)
        self.method.train_mode()
        for batch in self._remaining_batches():
            self._gather(batch)
            if not self._completes_a_step():
                continue
            ended = self._change_weights()
            self.validation.maybe(self.progress, ended)
            self.sampler.maybe(self.progress, ended)
            self.checkpoints.maybe(self.progress, ended)
            if self.control.stop_requested():
                break
        self.log.flush()
        self.checkpoints.final(self.progress, self.finished)

    @property
    def finished(self) -> bool:
        return self.progress.step >= self.rules.total_steps

    def loss(self, batch: Batch) -> Tensor:
        """Weighted mean over the batch: the one place where data, family and objective meet."""
        place = batch.epoch, batch.position
        latents_BCHW = self.family.latents(batch, draws.generator(self.rules.seed, "vae", *place))
        noisy = self.objective.disturb(latents_BCHW, draws.generator(self.rules.seed, "noise", *place))
        condition = self.family.condition(batch)
        noisy = preserving.aimed(batch, noisy, condition, self.family, self.method)
        predicted_BCHW = self.family.predict(noisy.latents_BCHW, noisy.timesteps_B, condition)
        return self.objective.loss(predicted_BCHW, noisy, batch.masks_B1HW, batch.weights_B)

    def _remaining_batches(self) -> Iterator[Batch]:
        if self.finished:
            return
        try:
            for batch in self.batches.after(self.progress.epoch, self.progress.batches):
                yield batch
                if self.finished:
                    return
        except Exception:  # of an image, or of who prepares it
            self._keep_what_is_learned()
            raise

    def _gather(self, batch: Batch) -> None:
        """Adds the batch's gradients to those that wait for the step."""
        torch.manual_seed(draws.number(self.rules.seed, "step", batch.epoch, batch.position))
        try:
            with self.accelerator.autocast(), self.offload:
                loss = self.loss(batch)
            self.accelerator.backward(loss / self.rules.accumulate)
        except torch.OutOfMemoryError:
            if not self.rules.in_backward:
                self._keep_what_is_learned()
            raise
        self.log.gather(loss / (batch.share or 1.0))
        self.progress.batches += 1

    def _keep_what_is_learned(self) -> None:
        """Before a failure ends the run that leaves the weights as good as they were: saves the complete steps."""
        if self.progress.step == self._first_step:
            return
        self.optimizer.zero_grad(set_to_none=True)
        self.progress.batches -= self.progress.batches % self.rules.accumulate
        self.checkpoints.final(self.progress, finished=False)
        self.log.say(f"What was learned up to step {self.progress.step} is saved; the training can go on from there.")

    def _completes_a_step(self) -> bool:
        return self._ends_an_epoch() or self.progress.batches % self.rules.accumulate == 0

    def _ends_an_epoch(self) -> bool:
        return self.progress.batches == self.batches.per_epoch

    def _change_weights(self) -> bool:
        """One step of the optimizer; whether an epoch ended with it."""
        if not self.rules.in_backward:
            self._share_gradients()
            if self.rules.max_grad_norm:
                self.accelerator.clip_grad_norm_(self.method.parameters(), self.rules.max_grad_norm)
        self.optimizer.step()
        if not self.optimizer.step_was_skipped:
            self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        figures = self.method.after_step()
        self.progress.step += 1
        self.log.step(self.progress, figures)
        if ended := self._ends_an_epoch():
            self.progress.epoch, self.progress.batches = self.progress.epoch + 1, 0
        self._stop_text_encoder_if_due()
        self.control.look(self.progress.step)
        self.control.changes.look(self, self.control.take_change())
        return ended

    def _stop_text_encoder_if_due(self) -> None:
        stop = self.rules.stop_text_encoder_after
        if stop is not None and self.progress.step >= stop and not self._text_encoder_is_stopped:
            self.method.stop_text_encoder()
            self._text_encoder_is_stopped = True

    def _share_gradients(self) -> None:
        """Every process goes on with the mean of all gradients, so that their weights stay equal."""
        if self.accelerator.num_processes == 1:
            return
        waiting: list[torch.nn.Parameter] = []
        numbers = 0
        for parameter in self.method.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if waiting and numbers + parameter.numel() > SHARED_AT_ONCE:
                self._share(waiting)
                waiting, numbers = [], 0
            waiting.append(parameter)
            numbers += parameter.numel()
        self._share(waiting)

    def _share(self, parameters: list[torch.nn.Parameter]) -> None:
        if not parameters:
            return
        flat = torch.cat([parameter.grad.flatten() for parameter in parameters])
        mean = self.accelerator.reduce(flat, reduction="mean")
        for parameter, part in zip(parameters, mean.split([p.numel() for p in parameters]), strict=True):
            parameter.grad.copy_(part.view_as(parameter))
