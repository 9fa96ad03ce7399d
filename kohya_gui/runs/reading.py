"""One run's events, read as they come, and what they add up to."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from sd_scripts.changes import Changes
from sd_scripts.events import RunFolder

from .curve import Curve
from .pace import PAUSES, Breaks, Pace, breaks

FINAL = ("done", "stopped", "failed")
SILENT_SECONDS = 120.0
SILENT_STEPS = 10
Event = Mapping[str, Any]


class RunReader:
    """Follows `events.jsonl`: each refresh reads only what is new. Safe to use from several threads."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._known: dict[str, Callable[[Event], None]] = {
            "state": self._on_state, "start": self._on_start, "plan": self._on_plan, "progress": self._on_progress,
            "step": self._on_step, "sample": self._on_sample, "saved": self._on_saved, "notice": self._on_notice,
            "failed": self._on_failed, "changed": self._on_changed, "validation": self._on_validation,
        }  # fmt: skip
        self._forget()

    def _forget(self) -> None:
        self._offset = 0
        self.curve = Curve()
        self.pace = Pace()
        self.state, self.message = "starting", ""
        self.began: float | None = None
        self.last: float | None = None
        self.attempt = 0
        self.plan: dict[str, Any] = {}
        self._breaks: Breaks | None = None
        self.progress: dict[str, Any] | None = None
        self._work_began = 0.0, 0  # when the work that `progress` tells of began, and how much was done already
        self.step, self.epoch, self.loss = 0, 0, None
        self.validation: dict[int, float] = {}
        self.samples: dict[tuple[int, int], dict[str, Any]] = {}
        self.saved: list[dict[str, Any]] = []
        self.notices: list[dict[str, str]] = []
        self.failure: dict[str, Any] | None = None
        self.changes = Changes()
        self.history: list[dict[str, Any]] = []

    @property
    def size(self) -> int:
        """Bytes of events that were read."""
        return self._offset

    def refresh(self) -> None:
        with self._lock:
            if self._shrunk():
                self._forget()
            events, self._offset = self.folder.read(self._offset)
            for event in events:
                with contextlib.suppress(ValueError, TypeError, KeyError):  # a damaged event hides no others
                    self._take(event)

    def curve_since(self, generation: int, known: int) -> dict[str, object]:
        """What a browser that knows so many points of that generation does not know yet."""
        with self._lock:
            return self.curve.since(generation, known)

    def _shrunk(self) -> bool:
        try:
            return self.folder.events.stat().st_size < self._offset
        except OSError:
            return self._offset > 0

    def _take(self, event: Event) -> None:
        """Kinds of later versions are passed over."""
        handle = self._known.get(str(event.get("kind")))
        if handle is None:
            return
        time = float(event.get("time") or 0)
        self.began = self.began or time
        self.last = time
        handle(event)

    def _on_state(self, event: Event) -> None:
        self.state, self.message = str(event["state"]), str(event.get("message") or "")
        self.pace.state(self.state, self.last or 0)
        if self.state != "caching":
            self.progress = None
        if self.state == "starting":
            self.failure = None

    def _on_start(self, event: Event) -> None:
        self.attempt = int(event.get("attempt") or 1)
        self.failure = None
        self.state, self.message = "starting", ""
        self.pace.restart()
        self._resume(int(event.get("resumed_step") or 0))

    def _resume(self, step: int) -> None:
        self.step = step
        self.curve.rewind(step)
        self.samples = {place: sample for place, sample in self.samples.items() if place[0] <= step}
        self.validation = {at: loss for at, loss in self.validation.items() if at <= step}
        if not step:
            self.changes = Changes()
        self.history = [change for change in self.history if change["step"] <= step]

    def _on_plan(self, event: Event) -> None:
        self.plan = {key: event.get(key) for key in ("total_steps", "epochs", "batches_per_epoch", "sum")}
        self._breaks = None

    def _on_progress(self, event: Event) -> None:
        what, done, total, now = event.get("what"), int(event["done"]), int(event["total"]), self.last or 0
        if self.progress is None or self.progress["what"] != what:
            self._work_began = now, done
        began, before = self._work_began
        left = (total - done) * (now - began) / (done - before) if done > before else None
        self.progress = {"what": what, "done": done, "total": total, "left": left}

    def _on_step(self, event: Event) -> None:
        if self.state in PAUSES:  # a step says that the pause is over, whether or not that was said
            self._on_state({"state": "training"})
        self.step, self.epoch = int(event["step"]), int(event.get("epoch") or 0)
        loss = event.get("loss")
        self.loss = event.get("average_loss", loss)
        self.pace.step(self.step, self.last or 0)
        if isinstance(loss, int | float):
            self.curve.add(self.step, float(loss), event.get("lr") or {})

    def _on_validation(self, event: Event) -> None:
        if isfinite(loss := float(event["loss"])):
            self.validation[int(event["step"])] = loss

    def _on_sample(self, event: Event) -> None:
        keys = ("step", "epoch", "index", "prompt", "seed", "file")
        self.samples[int(event["step"]), int(event.get("index") or 0)] = {key: event.get(key) for key in keys}

    def _on_saved(self, event: Event) -> None:
        self.saved.append({key: event.get(key) for key in ("step", "file", "what", "time")})

    def _on_changed(self, event: Event) -> None:
        self.changes.take(event)
        keys = ("time", "step", "rate_factor", "total_steps", "message")
        self.history.append({key: event[key] for key in keys if key in event})

    def _on_notice(self, event: Event) -> None:
        notice = {"key": str(event.get("key") or ""), "message": str(event.get("message") or "")}
        if notice not in self.notices:
            self.notices.append(notice)

    def _on_failed(self, event: Event) -> None:
        self.failure = {"sentence": str(event.get("sentence") or ""), "problems": list(event.get("problems") or [])}
        self.state = "failed"

    @property
    def over(self) -> bool:
        return self.state in FINAL

    @property
    def total(self) -> int | None:
        """The last step, as the plan says or a change of the live run has put it."""
        changed = self.changes.total(self.step)
        return self.plan.get("total_steps") if changed is None else changed

    def summary(self) -> dict[str, Any]:
        """The run in few words, for a list of many."""
        keys = ("state", "message", "step", "total", "epoch", "loss", "began", "last", "attempt")
        return {key: getattr(self, key) for key in keys} | {"states": any(s["what"] == "state" for s in self.saved)}

    def silence(self, now: float) -> float | None:
        """For how many seconds no step has come, where that is longer than it should be. now: unix seconds."""
        if self.state != "training" or self.last is None:
            return None
        seconds, pace = now - self.last, self.pace.per_second
        return seconds if seconds > max(SILENT_SECONDS, SILENT_STEPS / pace if pace else 0.0) else None

    def seconds_left(self, now: float) -> float | None:
        """With the samples and files that are still to come. now: unix seconds."""
        total, pace = self.total, self.pace.per_second
        if not total or not pace or self.over:
            return None
        if self._breaks is None:
            self._breaks = breaks(self.folder.config, self.plan)
        pauses = self._breaks.seconds(self.pace.took, self.step, total) + self.pace.rest_of_pause(now)
        return max(0, total - self.step) / pace + pauses
