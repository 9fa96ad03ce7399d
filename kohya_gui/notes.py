"""Problems, notices and the plan as the page shows them: HTML in which everything from outside is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from sd_scripts.config.schema import Problem

from . import layout


def problem_list(problems: Sequence[Problem]) -> str:
    """What stops the run first; each entry leads to its field."""
    ordered = sorted(problems, key=lambda problem: not problem.stops)
    if not ordered:
        return ""
    stopping = sum(problem.stops for problem in problems)
    title = f"{stopping} to put right before the start" if stopping else "Worth knowing"
    return f'<section class="notes" role="status"><h3>{title}</h3><ul>{"".join(map(_entry, ordered))}</ul></section>'


def _entry(problem: Problem) -> str:
    kind = "problem" if problem.stops else "notice"
    return f'<li class="{kind}">{_name(problem.key)} <span>{escape(problem.message)}</span></li>'


def _name(key: str) -> str:
    """A link to the field, or the bare key of what has none."""
    parameter = layout.fields().get(key)
    if parameter is None:
        return f"<b>{escape(key)}</b>" if key else ""
    return f'<a href="#p-{key}" data-key="{key}">{escape(parameter.label)}</a>'


def sentence(text: str, kind: str = "problem") -> str:
    return (
        f'<section class="notes" role="status"><ul><li class="{kind}"><span>{escape(text)}</span></li></ul></section>'
    )


def plan_card(plan: Any) -> str:
    """Steps, the sum that leads to them, and what is wrong with the images."""
    facts = {
        "steps": plan.total_steps, "epochs": plan.epochs, "images an epoch": plan.num_train_images,
        "regularization images": plan.num_reg_images, "warm-up steps": plan.warmup_steps,
    }  # fmt: skip
    said = problem_list(plan.problems)
    if not plan.total_steps:
        return said
    numbers = "".join(_fact(name, value) for name, value in facts.items() if value)
    body = f"<dl>{numbers}</dl><p>{escape(plan.sum_text)}</p>{_buckets(plan)}"
    return f'<section class="plan" aria-label="Plan">{body}</section>{said}'


def _fact(name: str, value: object) -> str:
    number = f"{value:,}" if isinstance(value, int) else escape(str(value))
    return f"<div><dt>{name}</dt><dd>{number}</dd></div>"


def _buckets(plan: Any) -> str:
    rows = "".join(
        f"<tr><td>{width} × {height}</td><td>{count:,}</td><td>{dataset.batch_size}</td></tr>"
        for dataset in plan.datasets
        for (width, height), count in dataset.buckets.items()
    )
    head = "<tr><th>pixels</th><th>images an epoch</th><th>batch</th></tr>"
    return f"<details><summary>Sizes</summary><table>{head}{rows}</table></details>"
