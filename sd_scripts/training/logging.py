"""What a training says: lines on the console, events in the run folder, curves for TensorBoard and W&B."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..config.logging import LoggingConfig
from ..config.schema import Problem
from ..errors import UserError
from ..events import Events
from ..optim import given_rates
from .progress import Progress
from .readback import Readback, Reported
from .trackers import Trackers

LINE_SECONDS = 5.0
FEW_RATES = 4  # are read at a glance

console = logging.getLogger("sd_scripts")


class LossIsNoNumber(UserError):
    """Training has gone astray."""


def set_up_console(config: LoggingConfig, file: Path | None = None) -> None:
    """Plain lines with the time on standard output, and in a file where one is asked for."""
    for handler in list(console.handlers):
        console.removeHandler(handler)
        handler.close()
    outputs: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    try:
        outputs += [
            logging.FileHandler(path, mode=mode, encoding="utf-8")
            for path, mode in ((file, "a"), (config.console_log_file, "w"))
            if path
        ]
    except OSError as error:
        raise UserError(f"console_log_file: {config.console_log_file} can't be written: {error.strerror}.") from error
    for output in outputs:
        output.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
        console.addHandler(output)
    console.setLevel(config.console_log_level)
    console.propagate = False


def duration(seconds: float) -> str:
    """3725 -> 1:02:05"""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Log:
    """The loss of each step comes in on the device and goes out a moment later, read back in batches."""

    def __init__(self, events: Events, trackers: Trackers) -> None:
        self._events, self._trackers = events, trackers
        self._readback = Readback(self._landed)
        self._gathered: list[Tensor] = []
        self._first_step, self._began, self._spoke = 0, time.monotonic(), 0.0

    def watch(self, optimizer: Any, total_steps: int, steps_per_epoch: int) -> None:
        """Whose rates are shown, how long it will take, and over how many losses the average goes."""
        self._optimizer, self._total = optimizer, total_steps
        self._recent: deque[float] = deque(maxlen=max(1, steps_per_epoch))

    def trains(self, where: str) -> None:
        """What is asked first when a training went wrong: how much was trained, how fast, with what and on what."""
        count = sum(parameter.numel() for group in self._optimizer.param_groups for parameter in group["params"])
        given = given_rates(self._optimizer)
        rates = ", ".join(f"{name} {rate:g}" for name, rate in given.items()) or "rates of its own"
        inner = getattr(self._optimizer, "optimizer", self._optimizer)
        console.info(
            "Trains %s weights with %s (%s) on %s",
            f"{count:,}",
            getattr(inner, "kind", type(inner)).__name__,
            rates if len(given) <= FEW_RATES else f"{len(given)} rates",
            where,
        )

    def say(self, message: str) -> None:
        console.info(message)

    def state(self, state: str, message: str = "") -> None:
        self._events.state(state, message)
        if message:
            console.info(message)

    def notice(self, key: str, message: str) -> None:
        self._events.write("notice", key=key, message=message)
        console.warning("Note: %s: %s", key, message)

    def notices(self, notices: Iterable[Problem]) -> None:
        for notice in notices:
            self.notice(notice.key, notice.message)

    def work(self, what: str, done: int, total: int) -> None:
        """How far a long piece of work has come."""
        self._events.write("progress", what=what, done=done, total=total)
        if done == total or time.monotonic() - self._spoke > LINE_SECONDS:
            self._spoke = time.monotonic()
            console.info("%s: %d of %d", what, done, total)

    def training(self, progress: Progress) -> None:
        """The steps begin: what came before does not count for their speed."""
        self._first_step, self._began = progress.step, time.monotonic()
        self._spoke = self._began
        self.state("training", f"Training from step {progress.step} to {self._total}")

    def gather(self, loss: Tensor) -> None:
        """Of a batch of the step under way."""
        self._gathered.append(loss.detach())

    def step(self, progress: Progress, figures: Mapping[str, Tensor]) -> None:
        """`figures`: what else is to be seen of this step; they stay on the device until they are read back."""
        reported = Reported(progress.step, progress.epoch + 1, self._rates(), ("loss", *figures))
        self._readback.add(reported, [sum(self._gathered) / len(self._gathered), *figures.values()])
        self._gathered = []

    def flush(self) -> None:
        self._readback.flush()

    def close(self) -> None:
        self._trackers.close()

    def saved(self, path: Path, step: int, what: str) -> None:
        self._events.write("saved", step=step, file=str(path), what=what)
        console.info("Saved %s", path)

    def sample(self, **fields: Any) -> None:
        self._events.write("sample", **fields)

    def ends_at(self, total_steps: int) -> None:
        self._total = total_steps

    def changed(self, step: int, what: Mapping[str, Any]) -> None:
        """The live training goes on with other rates or to another end."""
        self._events.write("changed", step=step, **what)
        console.info("Changed after step %d: %s", step, ", ".join(f"{key} {value:g}" for key, value in what.items()))

    def validated(self, progress: Progress, loss: float) -> None:
        self._events.write("validation", step=progress.step, epoch=progress.epoch_under_way, loss=loss)
        self._draw({"loss/validation": loss}, progress.step)
        console.info("step %d  validation loss %.4f", progress.step, loss)

    def _rates(self) -> dict[str, float]:
        """Learning rates by the groups' names; of optimizers that find the rate themselves, the one they found."""
        rates = {}
        for number, group in enumerate(self._optimizer.param_groups):
            rate = group.get("found_lr", group.get("lr"))
            if rate is not None:
                rates[str(group.get("name", number))] = float(rate) * float(group.get("d", 1.0))
        return rates

    def _landed(self, reported: Reported, values: list[float]) -> None:
        loss, figures = values[0], dict(zip(reported.names[1:], values[1:], strict=True))
        if not math.isfinite(loss):
            raise LossIsNoNumber(
                f"The loss is not a number any more since step {reported.step}: lower learning_rate, or, with "
                "mixed_precision fp16, use bf16 or no; nothing was saved from then on."
            )
        self._recent.append(loss)
        average = sum(self._recent) / len(self._recent)
        self._events.write(
            "step", step=reported.step, epoch=reported.epoch, loss=loss, average_loss=average, lr=reported.rates
        )
        curves = {"loss/current": loss, "loss/average": average}
        curves |= {f"lr/{name}": rate for name, rate in reported.rates.items()}
        self._draw(curves | {f"norm/{name}": value for name, value in figures.items()}, reported.step)
        self._line(reported, average)

    def _draw(self, curves: dict[str, float], step: int) -> None:
        try:
            self._trackers.log(curves, step)
        except Exception as error:  # noqa: BLE001 - full disks and lost connections have many types; training goes on
            self._trackers.give_up()
            self.notice("log_with", f"The curves end at step {step}, because they can't be written any more: {error}.")

    def _line(self, reported: Reported, average: float) -> None:
        now = time.monotonic()
        if now - self._spoke < LINE_SECONDS and reported.step != self._total:
            return
        self._spoke = now
        pace = (reported.step - self._first_step) / max(now - self._began, 1e-9)
        left = duration((self._total - reported.step) / pace) if pace else "?"
        console.info(
            "step %d/%d  epoch %d  loss %.4f  %.2f steps/s  %s left",
            reported.step,
            self._total,
            reported.epoch,
            average,
            pace,
            left,
        )
