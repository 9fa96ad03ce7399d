"""Changes of a live training: a factor on its learning rates, and another end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from accelerate.utils import broadcast_object_list
from torch.optim.lr_scheduler import LambdaLR

from ..changes import BadChange, Changes, checked, recorded
from ..events import RunFolder

if TYPE_CHECKING:
    from .loop import Trainer

RATES = ("lr", "initial_lr", "max_lr", "min_lr")
"""What schedules keep with an optimizer's groups and reckon the next rate from."""


class LiveChanges:
    """Does what is asked for after a step, and after a resume the same again after the same steps. A training in which
    nothing is changed is not touched."""

    def __init__(self, run: RunFolder | None) -> None:
        self._run = run
        self._made = Changes()

    def begin(self, trainer: Trainer) -> None:
        """Take up what earlier attempts changed. The factor on the rates is in the state that was resumed from; the
        end and the stretched schedule are not."""
        if trainer.progress.step == 0 or trainer.checkpoints.resume_from is None:
            return
        made = recorded(self._run.read()[0]) if self._run is not None else Changes()
        self._made = broadcast_object_list([made])[0] if trainer.accelerator.num_processes > 1 else made
        for step, total in sorted(self._made.totals.items()):
            if step <= trainer.progress.step:
                end_at(trainer, step, total)

    def look(self, trainer: Trainer, asked: Mapping[str, Any]) -> None:
        """After each step: what is asked for now, and what an earlier attempt changed after this step."""
        step = trainer.progress.step
        due: dict[str, Any] = {}
        if step in self._made.factors:
            due["rate_factor"] = self._made.factors[step]
        if step in self._made.totals:
            due["total_steps"] = self._made.totals[step]
        if asked:
            try:
                due |= checked(asked)
            except BadChange as error:
                trainer.log.notice("change", str(error))
        if due:
            self._do(trainer, due)

    def _do(self, trainer: Trainer, due: dict[str, Any]) -> None:
        step, event = trainer.progress.step, {}
        if "rate_factor" in due:
            multiply_rates(trainer, due["rate_factor"] / self._made.factor(step - 1))
            event["rate_factor"] = due["rate_factor"]
        total = due.get("total_steps")
        if "epochs" in due:
            total = due["epochs"] * -(-trainer.batches.per_epoch // trainer.rules.accumulate)
        if total is not None:
            event["total_steps"] = max(step, total)
            end_at(trainer, step, event["total_steps"])
        self._made.take({"step": step, **event})
        trainer.log.changed(step, event)


def multiply_rates(trainer: Trainer, ratio: float) -> None:
    """All rates from now on, those under way and those to come."""
    for group in trainer.optimizer.param_groups:
        for key in RATES:
            if group.get(key) is not None:
                group[key] = group[key] * ratio
    for name in ("base_lrs", "max_lrs", "_last_lr"):
        if hasattr(trainer.schedule, name):
            setattr(trainer.schedule, name, [rate * ratio for rate in getattr(trainer.schedule, name)])


def end_at(trainer: Trainer, step: int, total: int) -> None:
    """What is left of the schedule after `step` is stretched, so that the rates go on from where they are and come to
    the new end as they would have come to the old one. Schedules of other libraries keep their own course."""
    before = trainer.rules.total_steps
    if isinstance(trainer.schedule, LambdaLR) and total > step:
        ratio = (before - step) / (total - step)
        trainer.schedule.lr_lambdas = [_stretched(course, step, ratio) for course in trainer.schedule.lr_lambdas]
    trainer.rules = replace(trainer.rules, total_steps=total)
    trainer.checkpoints.total_steps = total
    trainer.log.ends_at(total)


def _stretched(course: Callable[[float], float], step: int, ratio: float) -> Callable[[float], float]:
    return lambda at: course(at if at <= step else step + (at - step) * ratio)
