"""Frozen weights kept in 8 bits and computed with in the compute dtype."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STORED = torch.float8_e4m3fn


def store_in_8_bits(network: nn.Module, compute: torch.dtype) -> None:
    """Keeps the weights of linear layers and convolutions as float8; each is widened when it is used.

    The network must be frozen: the widened weight lives for one call, and no gradient reaches the stored one.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and type(module).forward in (nn.Linear.forward, nn.Conv2d.forward):
            module.weight.data = module.weight.data.to(STORED)
            module.forward = partial(_forward, module, compute)


def _forward(module: Any, compute: torch.dtype, x: Tensor) -> Tensor:
    weight = module.weight.to(compute)
    bias = None if module.bias is None else module.bias.to(compute)
    if isinstance(module, nn.Linear):
        return F.linear(x.to(compute), weight, bias)
    return F.conv2d(x.to(compute), weight, bias, module.stride, module.padding, module.dilation, module.groups)
