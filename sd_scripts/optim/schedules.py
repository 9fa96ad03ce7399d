"""The course of the learning rate, as a factor of it for every step.

Steps count from 0 and are optimizer steps. T total steps, w warm-up steps, p = (step - w) / (T - w) the share of the
run that is done after the warm-up. The formulas are those of transformers' and diffusers' schedules.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..config.optimizer import OptimizerConfig, read_arguments, step_rules, steps_of
from . import classes

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

SMALLEST_RATE = 1e-7
"""Where the polynomial schedule ends."""


@dataclass(frozen=True)
class Course:
    """The numbers that shape a schedule."""

    total: int
    warmup: int
    decay: int = 0
    cycles: int = 1
    power: float = 1.0
    timescale: int = 10_000
    lowest: float = 0.0
    end: float = 0.0
    rules: tuple[tuple[int | None, float], ...] = ()

    def rising(self, step: int) -> float:
        return step / max(1, self.warmup)

    def done(self, step: int) -> float:
        return (step - self.warmup) / max(1, self.total - self.warmup)


Factor = Callable[[Course, int], float]


def constant(course: Course, step: int) -> float:
    return 1.0


def linear(course: Course, step: int) -> float:
    """1 - p."""
    return max(0.0, 1 - course.done(step))


def cosine(course: Course, step: int) -> float:
    """(1 + cos(pi p)) / 2."""
    return _half_waves(course.done(step))


def cosine_with_restarts(course: Course, step: int) -> float:
    """(1 + cos(pi (cycles p mod 1))) / 2, and 0 from the end on."""
    done = course.done(step)
    return 0.0 if done >= 1 else _half_waves(course.cycles * done % 1)


def cosine_with_min_lr(course: Course, step: int) -> float:
    """The cosine between 1 and `lowest`."""
    return _above(course.lowest, _half_waves(course.cycles * course.done(step)))


def cosine_warmup_with_min_lr(course: Course, step: int) -> float:
    """The same one step ahead, so that the last step of the run is at `lowest`."""
    return cosine_with_min_lr(course, step + 1)


def polynomial(course: Course, step: int) -> float:
    """(1 - p)^power, ending at `end` instead of 0."""
    return course.end if step > course.total else _above(course.end, (1 - course.done(step)) ** course.power)


def inverse_sqrt(course: Course, step: int) -> float:
    """1 / sqrt((step + s - w) / s) with the time scale s."""
    return 1 / math.sqrt((step + course.timescale - course.warmup) / course.timescale)


def warmup_stable_decay(course: Course, step: int) -> float:
    """1 until the last `decay` steps, in which a cosine falls to `lowest`."""
    begin = course.total - course.decay
    if step < begin:
        return 1.0
    return (
        _above(course.lowest, _half_waves(course.cycles * (step - begin) / max(1, course.decay)))
        if step < course.total
        else course.lowest
    )


def piecewise_constant(course: Course, step: int) -> float:
    """The factor of the first rule that still holds."""
    return next(factor for until, factor in course.rules if until is None or step < until)


def _half_waves(turns: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * turns))


def _above(lowest: float, factor: float) -> float:
    return lowest + (1 - lowest) * factor


SCHEDULES: dict[str, Factor] = {
    "constant": constant,
    "constant_with_warmup": constant,
    "linear": linear,
    "cosine": cosine,
    "cosine_with_restarts": cosine_with_restarts,
    "cosine_with_min_lr": cosine_with_min_lr,
    "cosine_warmup_with_min_lr": cosine_warmup_with_min_lr,
    "polynomial": polynomial,
    "inverse_sqrt": inverse_sqrt,
    "warmup_stable_decay": warmup_stable_decay,
    "piecewise_constant": piecewise_constant,
}

WARMUPS: dict[str, Factor] = {
    "warmup_stable_decay": lambda course, step: _above(course.lowest, course.rising(step)),
    "cosine_warmup_with_min_lr": lambda course, step: course.rising(step + 1),
    "piecewise_constant": piecewise_constant,
}
"""How those schedules begin that don't simply rise from 0."""


def factor(config: OptimizerConfig, total_steps: int, warmup_steps: int) -> Callable[[int], float]:
    """Step -> factor of the learning rate, for the schedules of the table."""
    course = _course(config, total_steps, warmup_steps)
    name = "constant" if config.is_schedule_free else config.lr_scheduler
    course_of_run, warmup = SCHEDULES[name], WARMUPS.get(name, Course.rising)

    def of_step(step: int) -> float:
        is_warming_up = step < course.warmup and not config.is_schedule_free
        return warmup(course, step) if is_warming_up else course_of_run(course, step)

    return of_step


def _course(config: OptimizerConfig, total_steps: int, warmup_steps: int) -> Course:
    rules = (
        step_rules(read_arguments(config.lr_scheduler_args)["step_rules"])
        if config.lr_scheduler == "piecewise_constant"
        else []
    )
    return Course(
        total=total_steps,
        warmup=warmup_steps,
        decay=steps_of(config.lr_decay_steps, total_steps),
        cycles=config.lr_scheduler_num_cycles,
        power=config.lr_scheduler_power,
        timescale=config.lr_scheduler_timescale or warmup_steps or 10_000,
        lowest=config.lr_scheduler_min_lr_ratio or 0.0,
        end=min(1.0, SMALLEST_RATE / config.learning_rate) if config.learning_rate else 0.0,
        rules=tuple(rules),
    )


def create(optimizer: Optimizer, config: OptimizerConfig, total_steps: int, warmup_steps: int) -> LRScheduler:
    """The schedule over `optimizer`; call its step() once after each optimizer step, on every process alike.

    Raises ConfigError when lr_scheduler_type can't be found or made.
    """
    from torch.optim.lr_scheduler import LambdaLR

    if config.is_relative_step:
        from transformers.optimization import AdafactorSchedule

        return AdafactorSchedule(optimizer, config.learning_rate)
    if config.lr_scheduler_type and not config.is_schedule_free:
        return _create_class(optimizer, config, total_steps)
    return LambdaLR(optimizer, factor(config, total_steps, warmup_steps))


def resolve(config: OptimizerConfig, note: str = "") -> tuple[type[Any], dict[str, Any]]:
    """The class of lr_scheduler_type and its arguments; `note` is added when some are lacking. Raises ConfigError."""
    name = config.lr_scheduler_type
    kind = classes.find("lr_scheduler_type", name if "." in name else f"torch.optim.lr_scheduler.{name}")
    arguments = read_arguments(config.lr_scheduler_args)
    classes.check_arguments("lr_scheduler_args", kind, arguments, ("self", "optimizer"), note)
    return kind, arguments


def _create_class(optimizer: Optimizer, config: OptimizerConfig, total_steps: int) -> LRScheduler:
    kind, arguments = resolve(config, f" The run has {total_steps} steps.")
    return classes.make("lr_scheduler_args", kind, optimizer, **arguments)
