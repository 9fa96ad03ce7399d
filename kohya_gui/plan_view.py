"""The plan of a run as the page shows it before Start: what is trained, how long, and what it takes."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from threading import Lock

from sd_scripts import estimate, plan
from sd_scripts.config import load
from sd_scripts.config.train_config import TrainConfig
from sd_scripts.data.records import ImageRecord, PlannedDataset
from sd_scripts.errors import UserError
from sd_scripts.estimate import Disk, Estimate, Memory
from sd_scripts.plan import Plan

from . import notes
from .texts import t

MOST_KEPT = 4


@dataclass(frozen=True, eq=False)
class Planned:
    """A plan that was shown, and the settings it was made of."""

    config: TrainConfig
    plan: Plan

    @property
    def records(self) -> list[ImageRecord]:
        """Every image, those kept for validation last."""
        training = [record for data in self.plan.datasets for record in data.records]
        return training + [record for data in self.plan.datasets for record in data.validation]


class NoSuchPlan(UserError):
    """A plan that isn't kept any more."""


class Plans:
    """The plans that were shown of late, by a name that the same settings always get."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Planned] = OrderedDict()
        self._lock = Lock()

    def keep(self, planned: Planned) -> str:
        flat = json.dumps(load.to_flat(planned.config), sort_keys=True, default=str)
        name = hashlib.blake2b(flat.encode(), digest_size=12).hexdigest()
        with self._lock:
            self._kept[name] = planned
            self._kept.move_to_end(name)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return name

    def get(self, name: str) -> Planned:
        """Raises NoSuchPlan."""
        with self._lock:
            planned = self._kept.get(name)
        if planned is None:
            raise NoSuchPlan(t("This plan is out of date; change any field of the form, or load the page again."))
        return planned


PLANS = Plans()


def card(config: TrainConfig, runs: Path | None = None) -> str:
    """Steps and their sum, what the run takes, folders and sizes, and what is wrong with the images. runs: the folder
    of earlier runs' folders, which tell the pace. Raises UserError."""
    made = plan.make(config)
    said = notes.problem_list(made.problems)
    if not made.total_steps:
        return said
    name = PLANS.keep(Planned(config, made))
    body = "".join((
        _numbers(made),
        f"<p>{escape(in_words(made.sum_text))}</p>",
        _needs(estimate.of(config, made, runs)),
        _folders(made),
        _sizes(made),
        f'<button type="button" class="plan-open" data-plan="{name}">'
        f"{escape(t('See the pictures as they are trained'))}</button>",
    ))  # fmt: skip
    return f'<section class="plan" aria-label="Plan">{body}</section>{said}'


SUM_TEXTS = (
    "image", "images", "regularization image", "regularization images", "repeat", "repeats", "sample", "samples",
    "batch", "batch an epoch", "batches an epoch", "and", "in", "buckets", "processes", "each", "accumulation",
    "step", "steps", "step an epoch", "steps an epoch", "step in", "steps in", "epoch", "epochs", "no images",
)  # fmt: skip
"""The words between the numbers of the sum that leads to the steps."""


def in_words(total: str) -> str:
    """The plan's sum in the visitor's language."""
    return re.sub(r"[a-z]{2,}(?: [a-z]{2,})*", lambda words: t(words[0]), total).replace(" x ", " × ")


def _numbers(made: Plan) -> str:
    facts = {
        t("steps"): made.total_steps, t("epochs"): made.epochs, t("images an epoch"): made.num_train_images,
        t("regularization images"): made.num_reg_images, t("validation images"): made.num_validation_images,
        t("warm-up steps"): made.warmup_steps,
    }  # fmt: skip
    return _list({name: f"{value:,}" for name, value in facts.items() if value})


def _list(facts: dict[str, str], kind: str = "") -> str:
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    return f'<dl class="{kind}">{rows}</dl>' if kind else f"<dl>{rows}</dl>"


# What it takes


def _needs(found: Estimate) -> str:
    facts = {t("memory"): _memory(found.memory), t("disk"): _disk(found.disk), t("time"): _time(found)}
    return _list(facts, "needs")


def _memory(memory: Memory | None) -> str:
    if memory is None:
        return _unknown()
    parts = {t("model"): memory.model, t("training"): memory.trained, t("pictures"): memory.pictures}
    return _about(size(memory.bytes), " + ".join(f"{name} {size(count)}" for name, count in parts.items() if count))


def _disk(disk: Disk | None) -> str:
    if disk is None:
        return _unknown()
    each = size(disk.file)
    parts = [
        t("1 file of {size}", size=each)
        if disk.files == 1
        else t("{count} files of {size}", count=disk.files, size=each)
    ]
    if disk.states:
        each = size(disk.state)
        one = t("1 state of {size}", size=each)
        parts.append(one if disk.states == 1 else t("{count} states of {size}", count=disk.states, size=each))
    if disk.latents:
        parts.append(t("cached latents {size}", size=size(disk.latents)))
    return _about(size(disk.bytes), " + ".join(parts))


def _time(found: Estimate) -> str:
    if found.pace is None or found.seconds is None:
        return escape(t("unknown until the first steps"))
    speed = found.pace.per_second
    pace = (
        t("{number} steps/s", number=f"{speed:.2g}")
        if speed >= 1
        else t("{number} s a step", number=f"{1 / speed:.2g}")
    )
    how = t("{pace}, as {run} went; samples and saving come on top", pace=pace, run=found.pace.run)
    return _about(duration(found.seconds), how)


def _unknown() -> str:
    return escape(t("not estimated for this kind of network"))


def _about(amount: str, how: str) -> str:
    return f"{escape(t('about {amount}', amount=amount))} <small>{escape(how)}</small>"


def size(count: float) -> str:
    """Bytes in words, with two digits at least."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            break
        count, unit = count / 1000, {"bytes": "kB", "kB": "MB", "MB": "GB", "GB": "TB"}[unit]
    return f"{count:.0f} {unit}" if count >= 100 or unit == "bytes" else f"{count:.1f} {unit}"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    whole = round(seconds)
    if whole < 90:
        return f"{max(whole, 1)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h" + (f" {minutes} min" if minutes else "")
    return f"{hours // 24} d" + (f" {hours % 24} h" if hours % 24 else "")


# Tables


def _folders(made: Plan) -> str:
    rows = [row for data in made.datasets for row in _of_folders(data)]
    names = (t("folder"), t("images"), t("repeats"), t("an epoch"))
    return _table(t("Folders ({count})", count=len(rows)), names, rows)


def _of_folders(data: PlannedDataset) -> Iterator[tuple[str, ...]]:
    repeats: dict[int, list[int]] = defaultdict(list)
    for record in data.records:
        repeats[id(record.subset)].append(record.repeats)
    for subset in data.subsets:
        found = repeats[id(subset)]
        name = t("{name} (regularization)", name=subset.name) if subset.is_reg else subset.name
        yield name, f"{len(found):,}", _range(found), f"{sum(found):,}"


def _range(numbers: list[int]) -> str:
    low, high = min(numbers, default=0), max(numbers, default=0)
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def _sizes(made: Plan) -> str:
    rows: list[tuple[str, ...]] = []
    for data in made.datasets:
        files = Counter(record.bucket for record in data.records)
        for (width, height), count in data.buckets.items():
            batches = -(-count // data.batch_size)
            rows.append((f"{width} × {height}", f"{files[width, height]:,}", f"{count:,}", f"{batches:,}"))
    names = (t("pixels"), t("images"), t("an epoch"), t("batches"))
    return _table(t("Sizes ({count})", count=len(rows)), names, rows)


def _table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<details><summary>{escape(title)}</summary><div class="scroll"><table><tr>{names}</tr>{lines}</table></div>'
        "</details>"
    )
