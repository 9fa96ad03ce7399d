"""Weights at rest: as they are looked at, saved and sampled with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

from ..optim import eval_mode, keeps_averages, train_mode

Rest = Callable[[], AbstractContextManager[None]]


def at_rest(method: Any, optimizer: Any) -> Rest:
    """A context in which dropouts are off and schedule-free optimizers show their averaged weights.

    Training then goes on as if nothing had been: the modes, the random state and the very weights are put back, which
    the way to the averages and back would round.
    """
    inner = getattr(optimizer, "optimizer", optimizer)

    @contextmanager
    def rest() -> Iterator[None]:
        averaged = [p for group in inner.param_groups for p in group["params"]] if keeps_averages(inner) else []
        trained = [parameter.detach().to("cpu", copy=True) for parameter in averaged]
        eval_mode(inner)
        method.eval_mode()
        try:
            with torch.random.fork_rng(), torch.no_grad():
                yield
        finally:
            method.train_mode()
            train_mode(inner)
            for parameter, values in zip(averaged, trained, strict=True):
                parameter.data.copy_(values)

    return rest
