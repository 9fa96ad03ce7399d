"""Losses and other figures on their way from the device to the log, without making the training step wait for them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

FLUSH_SECONDS = 1.0


@dataclass(frozen=True)
class Reported:
    """One change of the weights."""

    step: int
    epoch: int  # the one under way, counted from 1
    rates: dict[str, float]
    names: tuple[str, ...] = ("loss",)  # of the figures that the device knows


class Readback:
    """`add` keeps a step's figures on the device. About once a second the gathered ones are copied to the CPU, without
    waiting, and handed on when the copy has arrived."""

    def __init__(self, receive: Callable[[Reported, list[float]], None], seconds: float = FLUSH_SECONDS) -> None:
        self._receive, self._seconds = receive, seconds
        self._waiting: list[tuple[Reported, Tensor]] = []
        self._flying: deque[tuple[list[Reported], Tensor, Any]] = deque()
        self._sent = time.monotonic()

    def add(self, reported: Reported, figures: Sequence[Tensor]) -> None:
        """`figures`: one scalar for each of `reported.names`, of which every step has the same number."""
        self._waiting.append((reported, torch.stack([figure.detach().float() for figure in figures])))
        if time.monotonic() - self._sent >= self._seconds:
            self._send()
        self._land(wait=False)

    def flush(self) -> None:
        """Hands on everything; waits for the device."""
        self._send()
        self._land(wait=True)

    def _send(self) -> None:
        self._sent = time.monotonic()
        if not self._waiting:
            return
        steps, figures = zip(*self._waiting, strict=True)
        self._waiting = []
        together = torch.stack(figures)
        arrived = None
        if together.is_cuda:
            on_cpu = torch.empty(together.shape, pin_memory=True)
            on_cpu.copy_(together, non_blocking=True)
            arrived, together = torch.cuda.Event(), on_cpu
            arrived.record()
        self._flying.append((list(steps), together, arrived))

    def _land(self, wait: bool) -> None:
        while self._flying:
            steps, figures, arrived = self._flying[0]
            if arrived is not None and not wait and not arrived.query():
                return
            if arrived is not None:
                arrived.synchronize()
            self._flying.popleft()
            for reported, values in zip(steps, figures.tolist(), strict=True):
                self._receive(reported, values)
