"""All runs in one line each, for many browsers that ask again and again: each gets only the lines that changed."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from .index import Row
from .store import NoSuchRun
from .supervisor import Supervisor

FRESH_SECONDS = 0.7


@dataclass
class Listing:
    """token: tells the numbering of this app from that of an earlier one."""

    supervisor: Supervisor
    token: str = field(default_factory=lambda: secrets.token_hex(4))
    _lines: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    _settled: dict[str, tuple[int, int]] = field(default_factory=dict)
    _serial: int = 0
    _order: tuple[int, list[str]] = (0, [])
    _made: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def since(self, token: str, serial: int) -> dict[str, Any]:
        """What changed after `serial`: lines, and the order of all ids where it is another."""
        with self._lock:
            if time.monotonic() - self._made > FRESH_SECONDS:
                self._renew()
                self._made = time.monotonic()
            known = serial if token == self.token else -1
            answer: dict[str, Any] = {"token": self.token, "serial": self._serial}
            answer["lines"] = [line for at, line in self._lines.values() if at > known]
            if self._order[0] > known:
                answer["order"] = self._order[1]
            return answer

    def stale(self) -> None:
        """Something was done: the next to ask sees it."""
        with self._lock:
            self._made = float("-inf")

    def _renew(self) -> None:
        rows = self.supervisor.store.rows()
        waiting = {run_id: place for place, run_id in enumerate(self.supervisor.waiting(rows), 1)}
        for run_id, row in rows.items():
            with contextlib.suppress(NoSuchRun):  # deleted a moment ago
                self._renew_line(run_id, row, waiting.get(run_id))
        order = [run_id for run_id in rows if run_id in self._lines]
        if order != self._order[1]:
            self._serial += 1
            self._order = self._serial, order
            self._lines = {run_id: self._lines[run_id] for run_id in order}

    def _renew_line(self, run_id: str, row: Row, place: int | None) -> None:
        if self._is_settled(run_id, row):
            return
        line = self.supervisor.store.line(run_id, row)
        if place is not None:
            line |= {"place": place, "held": self.supervisor.held(run_id, row.entry)}
            line |= {"secrets": row.entry.secrets} if line["held"] else {}
        if run_id not in self._lines or self._lines[run_id][1] != line:
            self._serial += 1
            self._lines[run_id] = self._serial, line

    def _is_settled(self, run_id: str, row: Row) -> bool:
        """Whether it is over, and its line made since: most of many runs are."""
        if row.entry.status or not self.supervisor.store.summarised(run_id, row):
            self._settled.pop(run_id, None)
            return False
        known, self._settled[run_id] = self._settled.get(run_id), (row.written, row.size)
        return known == (row.written, row.size) and run_id in self._lines
