"""Looks after all runs: starts what waits when its devices are free, and brings back what broke off.

Whatever it decides is written into the run folders before it is done, so another app, or this one started again, goes
on where it was left. Only the secrets of queued runs are kept in memory and nowhere else.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from sd_scripts.errors import UserError

from . import queue, states, sweep
from .engine import ENGINE, KILL_SECONDS, ROOT, STOP_SECONDS, Engines, NotRunning, quoted
from .entry import Entry
from .index import Row
from .queue import Move
from .store import RESUMABLE, RunStore

__all__ = ["ENGINE", "ROOT", "CannotResume", "NotRunning", "NotWaiting", "Supervisor", "quoted"]

LOOK_SECONDS = 1.0
RECONCILE_SECONDS = 5.0
LEAVING_SECONDS = 5.0
STUCK_SECONDS = 15.0
DEVICES = "CUDA_VISIBLE_DEVICES"


class NotWaiting(UserError):
    """What was asked for needs a run that waits in the queue."""


class CannotResume(UserError):
    """There is nothing to go on from."""


class Supervisor:
    """engine: the command before `--config_file`. patience: seconds until SIGTERM, and from there until SIGKILL."""

    def __init__(
        self,
        store: RunStore,
        engine: Sequence[str] = ENGINE,
        patience: tuple[float, float] = (STOP_SECONDS, KILL_SECONDS),
    ) -> None:
        self.store = store
        self.engines = Engines(store, engine, patience, lambda run_id: self._wake.set())
        self.resume_lost = False
        self._secrets: dict[str, dict[str, str]] = {}
        self._looking = threading.Lock()
        self._wake, self._over = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    # The queue

    def enqueue(
        self, name: str, settings: Mapping[str, object], environment: Mapping[str, str], group: str = ""
    ) -> str:
        """Id of a new run, which starts as soon as its devices are free. `environment` brings the secrets, `group` is
        the sweep that it is one of. Raises BadOutputFolder."""
        run_id = self._add(name, settings, environment, group)
        self.look()
        return run_id

    start = enqueue

    def start_sweep(self, name: str, settings: Mapping[str, object], environment: Mapping[str, str]) -> list[str]:
        """One run for each combination of the values that the settings hold. Raises BadOutputFolder, TooMany."""
        made = sweep.plan(name, settings)
        group = f"{time.strftime('%Y%m%d-%H%M%S')}-{name}" if len(made) > 1 else ""
        found = [self._add(run.name, run.settings, environment, group) for run in made]
        self.look()
        return found

    def _add(self, name: str, settings: Mapping[str, object], environment: Mapping[str, str], group: str) -> str:
        devices = queue.devices_of(settings, environment, os.environ)
        secrets = {key: value for key, value in environment.items() if key != DEVICES}
        place = queue.end_of(self._entries())
        plain = {key: value for key, value in settings.items() if key != "run_dir"}
        run_id = self.store.create(
            name, plain, status="queued", place=place, devices=devices, secrets=tuple(sorted(secrets)), sweep=group
        )
        self._secrets[run_id] = secrets
        return run_id

    def _entries(self) -> dict[str, Entry]:
        return {run_id: row.entry for run_id, row in self.store.rows().items()}

    def waiting(self, rows: Mapping[str, Row] | None = None) -> list[str]:
        """The queue, first come first."""
        entries = self._entries() if rows is None else {run_id: row.entry for run_id, row in rows.items()}
        return queue.waiting(entries)

    def held(self, run_id: str, entry: Entry) -> str:
        """Why a queued run does not take its turn; empty where it does."""
        missing = [name for name in entry.secrets if name not in self._secrets.get(run_id, {})]
        if not missing or entry.status != "queued":
            return ""
        return (
            f"The app was started anew and keeps no secrets on disk: give {' and '.join(missing)} again, or start the "
            "run without."
        )

    def give_secrets(self, run_id: str, given: Mapping[str, str]) -> None:
        """Of a run that is held; those that are left empty it does without."""
        names = self.store.entry(run_id).secrets
        self._secrets[run_id] = {name: given.get(name, "") for name in names}
        self.look()

    def words_of(self, run_id: str) -> str:
        """What became of a start."""
        if self.store.entry(run_id).status != "queued":
            return "Started."
        before = self.waiting().index(run_id)
        others = (
            f"{before} run{'s' if before > 1 else ''} before it"
            if before
            else "it starts when the run that goes on is over"
        )
        return f"Queued: {others}."

    def words(self, run_id: str) -> dict[str, str]:
        """What there is to say of a run that waits."""
        entry = self.store.entry(run_id)
        if entry.status != "queued":
            return {}
        return {"queue": self.words_of(run_id), "held": self.held(run_id, entry)}

    def move(self, run_id: str, move: Move) -> None:
        """Raises NotWaiting."""
        entries = self._entries()
        order = queue.waiting(entries)
        self._must_wait(run_id, order)
        for place, other in enumerate(queue.moved(order, run_id, move), 1):
            if entries[other].place != place:
                self.store.index.change_if(other, lambda entry: entry.status == "queued", place=float(place))

    def cancel(self, run_id: str) -> None:
        """Take it out of the queue. One that had been trained before is then as it was. Raises NotWaiting."""
        status = "" if self.store.folder(run_id).events.exists() else "cancelled"
        _, was_waiting = self.store.index.change_if(run_id, lambda entry: entry.status == "queued", status=status)
        if not was_waiting:
            self._must_wait(run_id, [])

    def _must_wait(self, run_id: str, order: Sequence[str]) -> None:
        if run_id not in order:
            raise NotWaiting(f"{run_id} does not wait in the queue any more.")

    def duplicate(self, run_id: str) -> str:
        """A new run with the same settings at the end of the queue."""
        entry, settings = self.store.entry(run_id), self.store.settings(run_id)
        secrets = self._secrets.get(run_id, {})
        devices = {} if entry.devices == queue.ALL else {DEVICES: entry.devices}
        made = self._add(entry.name or run_id, settings, {**dict.fromkeys(entry.secrets, ""), **secrets, **devices}, "")
        if entry.secrets and not secrets:
            self._secrets.pop(made)
        self.look()
        return made

    # A run that goes on

    def ask(self, run_id: str, what: str) -> None:
        """Ask a running engine to `stop` (it saves first), `save` or `sample`. Raises NotRunning."""
        self.engines.ask(run_id, what)
        if what == "stop":
            self.store.index.change(run_id, paused=False, ended=True)

    def pause(self, run_id: str) -> None:
        """Save the state and give all memory back, to be resumed. Raises NotRunning."""
        self.engines.living(run_id)
        self.store.index.change(run_id, paused=True, ended=True)
        self.engines.ask(run_id, "stop")

    def stop_now(self, run_id: str) -> threading.Thread:
        """Stop without saving; an engine that does not listen is ended. Raises NotRunning."""
        thread = self.engines.stop_now(run_id)
        self.store.index.change(run_id, paused=False, ended=True)
        return thread

    def change(self, run_id: str, asked: Mapping[str, Any]) -> None:
        """Other rates or another end from the next step on. Raises NotRunning, BadChange."""
        self.engines.change(run_id, asked)

    # A run that is over

    def resume(self, run_id: str, *, first: bool = False) -> None:
        """Queue it again, to go on exactly where its newest state was saved. Raises CannotResume."""
        state = self.store.state(run_id)
        if state == "cancelled":
            self._queue_again(run_id, first)
            return
        if state not in RESUMABLE:
            raise CannotResume(f"{run_id} can't be resumed, because it is {state}; only one that broke off can.")
        saved = states.newest(self.store.reader(run_id).saved)
        if saved is None:
            raise CannotResume(
                f"{run_id} has left no saved state to go on from; duplicate it to train it from the start."
            )
        self.store.set_resume(run_id, saved.folder)
        self._queue_again(run_id, first, resumed_step=saved.step)

    def _queue_again(self, run_id: str, first: bool, **changes: Any) -> None:
        entries = self._entries()
        place = queue.front_of(entries) if first else queue.end_of(entries)
        again = {"status": "queued", "place": place, "paused": False, "ended": False, "noticed": False}
        self.store.index.change(run_id, **again, **changes)
        self.look()

    # What is done by itself

    def serve(self, *, resume_lost: bool = False) -> None:
        """Look after the queue until `close`. resume_lost: bring back what broke off without being asked."""
        self.resume_lost = resume_lost
        self._wake.set()
        self._thread = threading.Thread(target=self._serve, name="queue", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """The engines go on."""
        self._over.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=LOOK_SECONDS * 5)

    def _serve(self) -> None:
        reconciled = 0.0
        while not self._over.is_set():
            try:
                if self._wake.is_set() or time.monotonic() - reconciled > RECONCILE_SECONDS:
                    self._wake.clear()
                    reconciled = time.monotonic()
                    self.reconcile()
                self.look()
            except Exception:  # noqa: BLE001 - one bad moment, such as a full disk, must not end the queue
                traceback.print_exc(file=sys.stderr)
            self._wake.wait(LOOK_SECONDS)

    def reconcile(self) -> None:
        """Notice which runs have broken off, and bring those back that came further than at their last attempt."""
        for run_id, row in self.store.rows().items():
            if row.entry.noticed or row.entry.ended or row.entry.status or self.store.has_ended(run_id, row):
                continue
            if self.store.state(run_id) == "lost":
                self.store.index.change(run_id, noticed=True)
                if self.resume_lost and self._was_cut_off(run_id, row.entry):
                    self.resume(run_id, first=True)

    def _was_cut_off(self, run_id: str, entry: Entry) -> bool:
        """By a kill or a power loss, and since it has saved anew: a run that ends each time at once is left alone."""
        code = self.store.process(run_id)[1]
        state = states.newest(self.store.reader(run_id).saved)
        return (code is None or code < 0) and state is not None and state.step > entry.resumed_step

    def look(self) -> None:
        """Start what may start."""
        with self._looking:
            rows = self.store.rows()
            entries = {run_id: row.entry for run_id, row in rows.items()}
            order = queue.waiting(entries)
            stuck = [run_id for run_id, row in rows.items() if _is_stuck(row)]
            if not order and not stuck:
                return
            for run_id in stuck:
                self.store.index.change_if(run_id, lambda entry: entry.status == "starting", status="queued")
            taken = [row.entry.devices for run_id, row in rows.items() if self._occupies(run_id, row)]
            held = {run_id for run_id in order if self.held(run_id, entries[run_id])}
            for run_id in queue.startable(order, entries, taken, held):
                self._launch(run_id, entries[run_id])

    def _occupies(self, run_id: str, row: Row) -> bool:
        """Whether its engine holds devices; one that has said its last words is given a moment to leave."""
        if row.entry.status == "starting":
            return True
        if row.entry.status == "queued":  # its earlier attempt may still be leaving
            return self.store.process(run_id)[0] is not None
        if self.store.summarised(run_id, row) and time.time() - (row.summary["last"] or 0) > LEAVING_SECONDS:
            return False
        if self.store.process(run_id)[0] is None:
            return False
        reader = self.store.reader(run_id)
        return not reader.over or time.time() - (reader.last or 0) <= LEAVING_SECONDS

    def _launch(self, run_id: str, entry: Entry) -> None:
        _, is_mine = self.store.index.change_if(run_id, lambda entry: entry.status == "queued", status="starting")
        if not is_mine:
            return
        given = {name: value for name, value in self._secrets.get(run_id, {}).items() if value}
        devices = {} if entry.devices == queue.ALL else {DEVICES: entry.devices}
        self.engines.start(run_id, {**given, **devices})
        self.store.index.change(run_id, status="")


def _is_stuck(row: Row) -> bool:
    """An app that ended while it was starting a run has left it between two states."""
    return row.entry.status == "starting" and time.time() - row.written / 1e9 > STUCK_SECONDS
