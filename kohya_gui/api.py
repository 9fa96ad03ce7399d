"""Runs for other programs: four named endpoints, to be used with `gradio_client`. See docs/api.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

import gradio as gr

from sd_scripts import plan
from sd_scripts.config import load
from sd_scripts.errors import ConfigError, UserError
from sd_scripts.training.launch import SECRETS

from . import access
from .runs import sweep
from .runs.supervisor import Supervisor

MOST_RUNS = 1000
Answer = TypeVar("Answer")


class Endpoints:
    """What the endpoints do. Whatever a caller can put right is raised as a UserError with its sentence."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.store = supervisor.store

    def start(self, settings: dict[str, Any], name: str = "") -> dict[str, Any]:
        """Check the settings and put them into the queue: one run, or one for each combination where fields hold
        several values."""
        secrets = {key: str(settings[key]) for key in SECRETS if settings.get(key)}
        flat = {key: value for key, value in settings.items() if key not in SECRETS}
        for one in sweep.combinations(flat):
            check({**one, **secrets})
        environment = {SECRETS[key]: value for key, value in secrets.items()}
        title = name or str(flat.get("output_name") or "last")
        runs = self.supervisor.start_sweep(title, flat, environment)
        return {"runs": runs, "words": self.supervisor.words_of(runs[0])}

    def state(self, run: str) -> dict[str, Any]:
        """How a run stands."""
        return {**self.store.describe(run), **self.supervisor.words(run)}

    def stop(self, run: str, save: bool = True) -> dict[str, Any]:
        """End a run, saving first or not; one that waits is taken out of the queue."""
        if self.store.entry(run).status == "queued":
            self.supervisor.cancel(run)
        elif save:
            self.supervisor.ask(run, "stop")
        else:
            self.supervisor.stop_now(run)
        return {"run": run, "state": self.store.state(run)}

    def list(self, most: int = 50) -> list[dict[str, Any]]:
        """The newest runs, one line each."""
        return self.store.overview(max(1, min(int(most), MOST_RUNS)))


def check(flat: Mapping[str, object]) -> None:
    """As before a start on the page. Raises ConfigError with all that is wrong."""
    loaded = load.from_flat(flat)
    outside = access.problems(load.parameters().values(), flat)
    if outside:
        raise ConfigError(outside)
    stopping = [problem for problem in plan.make(loaded.unwrap()).problems if problem.stops]
    if stopping:
        raise ConfigError(stopping)


def _told(action: Callable[..., Answer]) -> Callable[..., Answer]:
    """The action, whose user's mistakes reach the caller as their sentence."""

    @wraps(action)
    def tell(*given: Any) -> Answer:
        try:
            return action(*given)
        except ConfigError as error:
            raise gr.Error("\n".join(map(str, error.problems)), print_exception=False) from error
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return tell


def build(supervisor: Supervisor) -> None:
    """Puts the endpoints into the Blocks that are being built."""
    endpoints = Endpoints(supervisor)
    for action in (endpoints.start, endpoints.state, endpoints.stop, endpoints.list):
        gr.api(_told(action), api_name=action.__name__, api_description=action.__doc__, queue=False)
