"""Weights that are changed during the backward pass, as soon as their gradients are there, so that gradients never lie
in memory all at once.

One optimizer for each weight, or one for each of a few groups of weights. What an optimizer does to one weight must not
depend on the gradients of others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..config.optimizer import OptimizerConfig
from . import optimizers

Share = Callable[[Tensor], Tensor]
"""A gradient -> its mean over all processes."""
Groups = Sequence[Mapping[str, Any]]


class Fused(Optimizer):
    """To the outside one optimizer, whose step() has little left to do."""

    def __init__(self, parts: Sequence[Optimizer], max_grad_norm: float = 0.0, share: Share | None = None) -> None:
        super().__init__([group for part in parts for group in part.param_groups], {})
        self.parts = list(parts)
        self.param_groups = [
            group for part in parts for group in part.param_groups
        ]  # the parts' own, which schedules change
        self.kind = type(parts[0])
        self._max_grad_norm, self._share = max_grad_norm, share
        self._waiting = [0] * len(self.parts)
        for number, part in enumerate(self.parts):
            for parameter in _parameters(part):
                parameter.register_post_accumulate_grad_hook(partial(self._arrived, number))

    def _arrived(self, number: int, parameter: nn.Parameter) -> None:
        """A gradient is complete."""
        if self._share is not None:
            parameter.grad = self._share(parameter.grad)
        if self._max_grad_norm:
            nn.utils.clip_grad_norm_([parameter], self._max_grad_norm)
        self._waiting[number] += 1
        if self._waiting[number] == sum(p.requires_grad for p in _parameters(self.parts[number])):
            self._change(number)

    def _change(self, number: int) -> None:
        part = self.parts[number]
        with torch.no_grad():
            part.step()
        self._note_rates(part)
        part.zero_grad(set_to_none=True)
        self._waiting[number] = 0

    def _note_rates(self, part: Any) -> None:
        """AdaFactor that finds its own rate tells it only while the gradients are there."""
        for group in part.param_groups:
            if group.get("relative_step"):
                group["found_lr"] = part._get_lr(group, part.state[group["params"][0]])

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Changes those whose group is not complete, because the pass did not reach all of its weights."""
        for number, waiting in enumerate(self._waiting):
            if waiting:
                self._change(number)

    def train(self) -> None:
        for part in self.parts:
            optimizers.train_mode(part)

    def eval(self) -> None:
        for part in self.parts:
            optimizers.eval_mode(part)

    def state_dict(self) -> dict[str, Any]:
        return {"kind": self.kind.__name__, "parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raises ValueError where the state is of other optimizers."""
        states = state_dict["parts"]
        if (state_dict["kind"], len(states)) != (self.kind.__name__, len(self.parts)):
            raise ValueError(f"it holds {len(states)} {state_dict['kind']}, not {len(self.parts)} {self.kind.__name__}")
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def _parameters(part: Optimizer) -> list[nn.Parameter]:
    return [parameter for group in part.param_groups for parameter in group["params"]]


def create(
    groups: Groups, config: OptimizerConfig, parts: int, max_grad_norm: float = 0.0, share: Share | None = None
) -> Fused:
    """The chosen optimizer, once for each of so many parts of the weights; 0: once for each weight.

    Raises ConfigError as `optimizers.create` does.
    """
    single = [{**group, "params": [parameter]} for group in groups for parameter in group["params"]]
    pieces = [_joined(piece) for piece in cut(single, parts)] if parts else [[one] for one in single]
    made = [optimizers.create(piece, config) for piece in pieces] or [optimizers.create([], config)]
    return Fused(made, max_grad_norm, share)


def cut(single: Groups, parts: int) -> list[list[Mapping[str, Any]]]:
    """Consecutive pieces with about as many numbers in each."""
    total = sum(group["params"][0].numel() for group in single)
    pieces: list[list[Mapping[str, Any]]] = []
    done = 0
    for group in single:
        if not pieces or done * parts >= total * len(pieces):
            pieces.append([])
        pieces[-1].append(group)
        done += group["params"][0].numel()
    return pieces


def _joined(piece: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Groups of one weight each that are alike in everything else, as one."""
    runs = groupby(piece, key=lambda group: {key: value for key, value in group.items() if key != "params"})
    return [{**rest, "params": [p for group in run for p in group["params"]]} for rest, run in runs]
