"""What is asked of a running training: by the app through files, by a terminal or a machine's shutdown through
signals."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, broadcast_object_list

from ..events import Request, RunFolder
from .changes import LiveChanges

REQUESTS: tuple[Request, ...] = ("stop", "stop_now", "save", "sample")
ASK_EVERY = 10  # steps, where several GPU processes must agree, which makes them wait for each other


class Stopped(Exception):  # noqa: N818 - it is no error
    """Training was asked to end at once, saving nothing."""


class Control:
    """`look` once a step; the answers are the same in all processes."""

    def __init__(self, run: RunFolder | None, accelerator: Accelerator) -> None:
        self._run, self._accelerator = run, accelerator
        self._asked: set[Request] = set()
        self._agreed: set[Request] = set()
        self._heard: set[int] = set()
        self._before: dict[int, object] = {}
        self._change: dict[str, float] = {}  # asked for in this process
        self._agreed_change: dict[str, float] = {}
        self.changes = LiveChanges(run)

    def __enter__(self) -> Control:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Asks to stop and save; a second Ctrl-C asks to stop at once. Launchers may send several SIGTERMs and mean
        one."""
        again = number == signal.SIGINT and signal.SIGINT in self._heard
        self._heard.add(number)
        self._asked.add("stop_now" if again else "stop")

    def look(self, step: int) -> None:
        """After each step. Raises Stopped where training shall end at once."""
        self.check()
        if self._accelerator.num_processes == 1:
            self._agreed, self._agreed_change = self._asked, self._change
        elif self._accelerator.device.type == "cpu" or step % ASK_EVERY == 0:
            self._agree()
        if "stop_now" in self._agreed:
            raise Stopped

    def _agree(self) -> None:
        bits = [*(float(request in self._asked) for request in REQUESTS), float(bool(self._change))]
        agreed = broadcast(torch.tensor(bits, device=self._accelerator.device)).tolist()
        self._agreed = {request for request, bit in zip(REQUESTS, agreed, strict=False) if bit}
        if agreed[-1]:
            self._agreed_change = broadcast_object_list([self._change])[0]

    def check(self) -> None:
        """Between steps and within long work of one process. Raises Stopped where training shall end at once."""
        if self._run is not None:
            self._asked.update(request for request in REQUESTS if self._run.take(request))
            self._change = {**self._change, **self._run.take_change()}
        if "stop_now" in self._asked and self._accelerator.num_processes == 1:
            raise Stopped

    def take_change(self) -> dict[str, float]:
        """What shall be different from now on, which is then forgotten."""
        change, self._agreed_change = self._agreed_change, {}
        if change:
            self._change = {}
        return change

    def stop_requested(self) -> bool:
        return "stop" in self._agreed

    def take(self, request: Request) -> bool:
        """Whether it was asked for, which is then forgotten."""
        if request not in self._agreed:
            return False
        self._agreed = self._agreed - {request}
        self._asked.discard(request)
        return True
