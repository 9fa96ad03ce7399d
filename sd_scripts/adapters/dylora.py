"""DyLoRA (Valipour et al. 2022, arXiv:2210.07558): a LoRA whose first ranks are a LoRA of lower rank each.

In every pass a number of ranks b is drawn, a multiple of `unit`; only the last unit of them learns. sd-scripts
computes with all ranks then and scales by sqrt(r / b); LyCORIS computes with the first b and scales by alpha / b.
Outside of training all ranks count, with alpha / r. Files are those of LoRA.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config.network import NetworkConfig
from ..errors import UserError
from .base import Size, Target
from .lora import Lora
from .weight_adapter import through


class Dylora(Lora):
    def __init__(self, target: Target, size: Size, network: NetworkConfig) -> None:
        super().__init__(target, size, network)
        self.rank, self.unit = size.rank, network.trained_together
        if self.rank % self.unit:
            raise UserError(
                f"block_dims: A rank of {self.rank} is no multiple of DyLoRA's unit {self.unit}; change one of them."
            )

    def change(self, x: Tensor) -> Tensor | None:
        if not self.training:
            return super().change(x)
        if self._skips():
            return None
        if not torch.is_autocast_enabled(x.device.type):
            x = x.to(self.lora_down.weight.dtype)
        first = int(torch.randint(self.rank // self.unit, ())) * self.unit
        used = self.used(first + self.unit)
        down = _learning(self.lora_down.weight, 0, first, self.unit)[:used]
        up = _learning(self.lora_up.weight, 1, first, self.unit)[:, :used]
        inner = self._dropped(through(self.lora_down, x, down))
        outer = F.conv2d(inner, up) if isinstance(self.lora_up, nn.Conv2d) else F.linear(inner, up)
        return outer * self.scale_of(first + self.unit)

    def used(self, ranks: int) -> int:
        """How many ranks are computed with when `ranks` were drawn."""
        return self.rank

    def scale_of(self, ranks: int) -> float:
        return self.scale * (self.rank / ranks) ** 0.5


class LycorisDylora(Dylora):
    def used(self, ranks: int) -> int:
        return ranks

    def scale_of(self, ranks: int) -> float:
        """alpha / b, so that all ranks together have the scale that readers of the file give them."""
        return self.scale * self.rank / ranks


def _learning(weight: Tensor, axis: int, first: int, count: int) -> Tensor:
    """The weight, of which only `count` ranks from `first` on get a gradient."""
    before, now, after = weight.split([first, count, weight.shape[axis] - first - count], dim=axis)
    return torch.cat([before.detach(), now, after.detach()], dim=axis)
