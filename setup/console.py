"""What a person sees during the set-up: one line a stage, with a moving tail while something slow is going on."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

QUIET_SECONDS = 20.0  # how often a file or a CI log hears of a slow stage; a terminal is redrawn all the time


class SetupProblem(Exception):
    """The set-up can't go on. Its text is one sentence that says what is missing and what to do."""


def lenient_output() -> None:
    """Lets paths with any letters be printed on terminals that lack those letters, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


class Console:
    """Prints numbered stages. On a terminal the line of the running stage is redrawn in place."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.on_terminal = self.out.isatty()
        self._line = ""
        self._started = 0.0
        self._last_words = 0.0

    def say(self, text: str) -> None:
        print(text, file=self.out, flush=True)

    def begin(self, title: str) -> None:
        """Opens a stage; `end` closes it."""
        self._line, self._started = title, time.monotonic()
        self._last_words = self._started
        if self.on_terminal:
            self._redraw(f"{title} ...")
        else:
            self.say(f"{title} ...")

    def moving(self, detail: str) -> None:
        """Tells what the open stage is at. Call it as often as you like."""
        now = time.monotonic()
        seconds = f"{now - self._started:.0f} s"
        if self.on_terminal:
            self._redraw(f"{self._line} ... {seconds}, {detail}" if detail else f"{self._line} ... {seconds}")
        elif now - self._last_words >= QUIET_SECONDS:
            self._last_words = now
            self.say(f"      {seconds}, {detail}" if detail else f"      {seconds}")

    def end(self, outcome: str = "done") -> None:
        """Closes the open stage with its outcome and the time it took."""
        took = f"{outcome} in {time.monotonic() - self._started:.1f} s"
        if self.on_terminal:
            self._redraw(f"{self._line}: {took}")
            self.say("")
        else:
            self.say(f"      {took}")

    def broken_off(self) -> None:
        """Leaves the open stage as it stands, so that what follows starts on a line of its own."""
        if self.on_terminal:
            self.say("")

    def _redraw(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        self.out.write("\r" + text[:width].ljust(width))
        self.out.flush()
