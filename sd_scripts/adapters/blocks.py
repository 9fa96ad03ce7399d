"""The rank, alpha and rate of each block of a Stable Diffusion U-Net."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from ..config.block_weights import SD, Blocks, curve, numbers
from ..config.network import NetworkConfig
from .base import Size, Target
from .layers import is_spatial


def curve_values(name: str, base: float, count: int) -> list[float]:
    """A named curve over `count` blocks, plus `base`: sine is sin(pi/2 * i/(count-1)), cosine its mirror image."""
    steps = [i / (count - 1) if count > 1 else 1.0 for i in range(count)]
    shapes = {
        "sine": [math.sin(math.pi / 2 * step) for step in steps],
        "cosine": [math.sin(math.pi / 2 * step) for step in reversed(steps)],
        "linear": steps,
        "reverse_linear": steps[::-1],
        "zeros": [0.0] * count,
    }
    return [value + base for value in shapes[name]]


def _factors(text: str | None, count: int) -> list[float]:
    if not text:
        return [1.0] * count
    named = curve(text)
    return curve_values(*named, count) if named else list(numbers(text))


@lru_cache(maxsize=8)
def rate_factors(network: NetworkConfig, blocks: Blocks = SD) -> tuple[float, ...] | None:
    """The factor on the U-Net's rate for each block, 0 where it is not above the threshold; None where none is set."""
    given = (network.down_lr_weight, network.mid_lr_weight, network.up_lr_weight)
    if not any(given):
        return None
    counts = (blocks.down, blocks.mid, blocks.up)
    inner = [value for text, count in zip(given, counts, strict=True) for value in _factors(text, count)]
    factors = [1.0] * blocks.before + inner + [1.0] * blocks.after
    return tuple(value if value > network.block_lr_zero_threshold else 0.0 for value in factors)


def size_of(target: Target, network: NetworkConfig, blocks: Blocks = SD) -> Size | None:
    """The rank and alpha that a target gets; None where it gets no module: its rank or its block's rate is 0, or 3x3
    convolutions are not trained."""
    factors = rate_factors(network, blocks)
    if target.block is not None and factors and not factors[target.block]:
        return None
    if is_spatial(target.module):
        rank = _at(network.conv_block_dims, target.block, network.convolution_rank)
        alpha = _at(network.conv_block_alphas, target.block, network.convolution_alpha)
    else:
        rank = _at(network.block_dims, target.block, network.network_dim)
        alpha = _at(network.block_alphas, target.block, network.network_alpha)
    return Size(int(rank), alpha) if rank else None


def _at(values: Sequence[float], block: int | None, otherwise: float) -> float:
    return values[block] if values and block is not None else otherwise
