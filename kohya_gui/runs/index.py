"""A database of what the run folders hold, so that five hundred of them are listed at once.

The folders are the truth: a lost or damaged database is made again from them. It is also the lock that lets only one
of several apps start a queued run.
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from . import entry as entries
from .entry import Entry

FILE = "index.sqlite"
TABLE = """CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, written INTEGER NOT NULL, entry TEXT NOT NULL, status TEXT NOT NULL, place REAL NOT NULL,
    size INTEGER NOT NULL DEFAULT -1, summary TEXT NOT NULL DEFAULT '{}')"""
LOCK_SECONDS = 15.0
IN_MEMORY_SECONDS = 30.0
UNWRITABLE = ("full", "readonly", "unable to open", "disk I/O")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Row:
    """written: when the entry's file was. size: of the events that the summary was made of, or -1."""

    written: int
    entry: Entry
    size: int = -1
    summary: dict[str, Any] = field(default_factory=dict)


class Index:
    """Safe to use from several threads and processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.RLock()
        self._database: sqlite3.Connection | None = None
        self._until = math.inf  # monotonic seconds, from which on the file is tried again

    def close(self) -> None:
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def rows(self, ids: Iterable[str]) -> dict[str, Row]:
        """What is known of these runs, read anew from the folders where it changed or was missing. Others go."""
        known = self._do(self._found)
        wanted = list(ids)
        fresh = {run_id: row for run_id in wanted if (row := self._fresh(run_id, known.get(run_id)))}
        gone = known.keys() - set(wanted)
        if fresh or gone:
            self._do(lambda database: self._keep(database, fresh, gone))
        return {run_id: fresh.get(run_id) or known[run_id] for run_id in wanted}

    def row(self, run_id: str) -> Row:
        """What is known of this run."""
        known = self._do(lambda database: self._found(database, " WHERE id = ?", run_id)).get(run_id)
        fresh = self._fresh(run_id, known)
        if fresh:
            self._do(lambda database: self._keep(database, {run_id: fresh}, ()))
        row = fresh or known
        assert row is not None
        return row

    def entry(self, run_id: str) -> Entry:
        return entries.read(self.root / run_id)

    def put(self, run_id: str, entry: Entry) -> None:
        entries.write(self.root / run_id, entry)
        row = Row(entries.written(self.root / run_id), entry)
        self._do(lambda database: self._keep(database, {run_id: row}, ()))

    def change(self, run_id: str, **changes: Any) -> Entry:
        """Changes the entry while nobody else can."""
        return self.change_if(run_id, lambda entry: True, **changes)[0]

    def change_if(self, run_id: str, holds: Callable[[Entry], bool], **changes: Any) -> tuple[Entry, bool]:
        """The entry, changed where `holds` says so of it, and whether it was."""

        def work(database: sqlite3.Connection) -> tuple[Entry, bool]:
            with _alone(database):
                before = self.entry(run_id)
                if not holds(before):
                    return before, False
                after = before.changed(**changes)
                entries.write(self.root / run_id, after)
                row = Row(entries.written(self.root / run_id), after)
                self._write(database, {run_id: row}, ())
                return after, True

        return self._do(work)

    def keep_summary(self, run_id: str, size: int, summary: dict[str, Any]) -> None:
        """Of a run that is over, made of `size` bytes of events."""
        text = json.dumps(summary)
        self._do(lambda d: d.execute("UPDATE runs SET size = ?, summary = ? WHERE id = ?", (size, text, run_id)))

    def _fresh(self, run_id: str, known: Row | None) -> Row | None:
        """The row as the folder has it, where that is not what is known."""
        written = entries.written(self.root / run_id)
        if known is not None and known.written == written:
            return None
        return Row(written, self.entry(run_id))

    def _found(self, database: sqlite3.Connection, where: str = "", *values: str) -> dict[str, Row]:
        found = database.execute(f"SELECT id, written, entry, size, summary FROM runs{where}", values)  # noqa: S608
        return {
            run_id: Row(written, entries.from_json(json.loads(entry)), size, json.loads(summary))
            for run_id, written, entry, size, summary in found
        }

    def _keep(self, database: sqlite3.Connection, rows: dict[str, Row], gone: Iterable[str]) -> None:
        with _alone(database):
            self._write(database, rows, gone)

    def _write(self, database: sqlite3.Connection, rows: dict[str, Row], gone: Iterable[str]) -> None:
        database.executemany(
            "INSERT INTO runs (id, written, entry, status, place) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
            " SET written = excluded.written, entry = excluded.entry, status = excluded.status, place = excluded.place",
            [
                (run_id, row.written, entries.to_json(row.entry), row.entry.status, row.entry.place)
                for run_id, row in rows.items()
            ],
        )
        database.executemany("DELETE FROM runs WHERE id = ?", [(run_id,) for run_id in gone])

    def _do(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """A database that turns out to be damaged is thrown away and the work done with a new one; where it can't be
        written for a while, with one in memory."""
        with self._lock:
            try:
                return work(self._open())
            except sqlite3.OperationalError as error:
                if "locked" in str(error):
                    raise
                if any(reason in str(error) for reason in UNWRITABLE):
                    return work(self._open_in_memory())
            except (sqlite3.DatabaseError, ValueError):
                pass
            self._throw_away()
            return work(self._open())

    def _open(self) -> sqlite3.Connection:
        if self._database is not None and time.monotonic() > self._until:
            self._drop()
        if self._database is None:
            self.root.mkdir(parents=True, exist_ok=True)
            self._database = _opened(self.root / FILE)
            self._until = math.inf
        return self._database

    def _open_in_memory(self) -> sqlite3.Connection:
        self._drop()
        self._database = _opened(":memory:")
        self._until = time.monotonic() + IN_MEMORY_SECONDS
        return self._database

    def _drop(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self.close()
        self._database = None

    def _throw_away(self) -> None:
        self._drop()
        for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
            with contextlib.suppress(OSError):
                (self.root / name).unlink()


def _opened(file: Path | str) -> sqlite3.Connection:
    database = sqlite3.connect(file, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=NORMAL")
    database.execute(TABLE)
    return database


@contextlib.contextmanager
def _alone(database: sqlite3.Connection) -> Iterator[None]:
    """No other process changes anything meanwhile."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
