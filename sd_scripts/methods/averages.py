"""Other values for weights, which take their place for a while: their moving average, or what they were before they
were rounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Others:
    """A second value for each of some weights."""

    def __init__(self, values: Mapping[nn.Parameter, Tensor]) -> None:
        self.values = dict(values)
        self.shown = False

    def show(self, wanted: bool) -> None:
        """Whether the weights have their second values now."""
        if wanted != self.shown:
            for parameter, other in self.values.items():
                self.values[parameter], parameter.data = parameter.data, other
        self.shown = wanted

    @contextmanager
    def in_place(self) -> Iterator[None]:
        before = self.shown
        self.show(True)
        try:
            yield
        finally:
            self.show(before)


class Averages(Others):
    """The exponential moving average of weights, in 32 bits.

    a <- d a + (1 - d) w after each step, with d = min(decay, (1 + n) / (10 + n)) after n steps, so that the first
    values are soon forgotten (as TensorFlow's ExponentialMovingAverage does it).
    """

    def __init__(self, named: Mapping[str, nn.Parameter], decay: float) -> None:
        super().__init__({parameter: parameter.data.float().clone() for parameter in named.values()})
        self.named, self.decay, self.steps = dict(named), decay, 0

    def update(self) -> None:
        share = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        averages = list(self.values.values())
        torch._foreach_lerp_(averages, [parameter.data.float() for parameter in self.values], share)

    def state_dict(self) -> dict[str, Tensor]:
        averages = {name: self._average(parameter) for name, parameter in self.named.items()}
        return averages | {"steps": torch.tensor(self.steps)}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Raises KeyError."""
        for name, parameter in self.named.items():
            self._average(parameter).copy_(tensors[name])
        self.steps = int(tensors["steps"])

    def _average(self, parameter: nn.Parameter) -> Tensor:
        return parameter.data if self.shown else self.values[parameter]
