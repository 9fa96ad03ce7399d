"""How many numbers a network learns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .model_sizes import Layers, Part, Sizes
from .network import NetworkConfig, rates
from .network_kinds import KINDS, Cost

if TYPE_CHECKING:
    from .train_config import TrainConfig


def trained_numbers(config: TrainConfig, sizes: Sizes) -> int | None:
    """None where the kind of network doesn't say it in a simple sum, or reads it from a file."""
    trained = {name for name, rate in rates(config.network, config.optimizer, config.training).items() if rate}
    parts = [part for name, part in sizes.parts.items() if name in trained]
    return _of_parts(config.network.resolved(), parts, sizes.exact)


def _of_parts(network: NetworkConfig, parts: Iterable[Part], exact: bool) -> int | None:
    """The sum over layers; for LoRA, rank x (inputs + outputs) of each."""
    kind = KINDS.get(network.kind or "")
    cost = kind.cost if kind else None
    is_plain = network.layers in (None, "full") and not network.block_dims and not network.dim_from_weights
    if cost is None or not is_plain or network.use_tucker or (network.trains_convolutions and not exact):
        return None
    total = 0
    for part in parts:
        total += _of_layers(part.attention, network, cost)
        if network.trains_convolutions:
            total += _of_layers(part.around, network, cost)
    return total


def _of_layers(layers: Layers, network: NetworkConfig, cost: Cost) -> int:
    """DoRA learns a length for each output besides."""
    flat = sum(cost(inputs, outputs, network.network_dim) for inputs, outputs in layers.flat)
    rank = network.convolution_rank
    square = sum(cost(9 * inputs, outputs, rank) for inputs, outputs in layers.square) if rank else 0
    reached = [*layers.flat, *(layers.square if rank else ())]
    lengths = sum(outputs if network.wd_on_output else inputs for inputs, outputs in reached) if network.dora_wd else 0
    return flat + square + lengths
