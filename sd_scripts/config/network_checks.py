"""What does not go together in the network's settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import UserError
from . import network_args
from .block_weights import CURVES, Blocks, curve, numbers
from .layer_choice import PRESETS
from .schema import Notice, Problem, did_you_mean

if TYPE_CHECKING:
    from .network import NetworkConfig

PER_BLOCK = ("block_dims", "block_alphas", "conv_block_dims", "conv_block_alphas")


def problems(network: NetworkConfig) -> Iterator[Problem]:
    """network: with what network_args says put where it belongs."""
    wrong = list(_preset_problems(network))
    yield from wrong
    if wrong:  # nothing can be said of layers that nobody knows
        return
    yield from _kind_problems(network)
    yield from _block_problems(network)
    yield from _idle_alphas(network)


def _preset_problems(network: NetworkConfig) -> Iterator[Problem]:
    if network.preset and not network.preset.endswith(".toml") and network.preset not in PRESETS:
        hint = did_you_mean(network.preset, PRESETS, f" There is: {', '.join(PRESETS)}.")
        yield Problem("preset", f"There is no preset {network.preset!r}, and it is no .toml file.{hint}")
        return
    try:
        chosen = network.chosen_layers
    except UserError as error:
        yield Problem("preset", str(error))
        return
    for where, own in {**chosen.by_class, **chosen.by_name}.items() if chosen else ():
        yield from network_args.layer_problems(network, where, own)


def _kind_problems(network: NetworkConfig) -> Iterator[Problem]:
    if network.algo and network.module != "lycoris.kohya":
        yield Problem(
            "algo",
            f"It counts with lycoris.kohya alone, and network_module is {network.network_module}; change one of them.",
        )
    if network.kind in ("dylora", "lycoris_dylora"):
        yield from _unit_problems(network)
    if network.kind == "oft" and not network.network_train_unet_only:
        yield Notice("network_module", "networks.oft reaches the U-Net alone, so the text encoder is not trained.")
    if network.kind == "ia3" and network.layers == "full":
        yield Notice("preset", "IA3 is meant for a few layers; preset ia3 chooses those of its authors.")
    if network.rank_dropout_scale and not network.rank_dropout:
        yield Notice("rank_dropout_scale", "It has no effect without rank_dropout.")


def _unit_problems(network: NetworkConfig) -> Iterator[Problem]:
    unit = network.trained_together
    for key in ("network_dim", "conv_dim"):
        rank = getattr(network, key)
        if rank and rank % unit:
            yield Problem(key, f"It is {rank}, which is no multiple of DyLoRA's unit {unit}; change one of them.")
    if network.kind == "dylora" and network.conv_dim not in (None, network.network_dim):
        yield Problem(
            "conv_dim",
            f"DyLoRA has one rank for all layers; set it to {network.network_dim} as network_dim, or leave it empty.",
        )


def _block_problems(network: NetworkConfig) -> Iterator[Problem]:
    for key in PER_BLOCK:
        if any(value < 0 for value in getattr(network, key)):
            yield Problem(key, "It has a number below 0; give 0 for a block that is left out.")
    for key in ("down_lr_weight", "mid_lr_weight", "up_lr_weight"):
        yield from _curve_problems(key, getattr(network, key))


def counting_problems(network: NetworkConfig, blocks: Blocks) -> Iterator[Problem]:
    """Lists that have not as many numbers as the family's U-Net has blocks."""
    for key in PER_BLOCK:
        given = len(getattr(network, key))
        if given not in (0, blocks.total):
            yield Problem(
                key, f"It has {given} numbers; the model's U-Net has {blocks.total} blocks, so give {blocks.total}."
            )
    for key, count in (("down_lr_weight", blocks.down), ("mid_lr_weight", blocks.mid), ("up_lr_weight", blocks.up)):
        given = _count(getattr(network, key))
        if given not in (0, count):
            there = "is 1 block" if count == 1 else f"are {count} blocks"
            yield Problem(key, f"It has {given} numbers; there {there}, so give {count}.")


def _count(text: str | None) -> int:
    """How many numbers a text lists; 0 where it is none, a curve or nothing that can be read."""
    try:
        return 0 if not text or curve(text) else len(numbers(text))
    except ValueError:
        return 0


def _idle_alphas(network: NetworkConfig) -> Iterator[Problem]:
    if network.conv_block_alphas and not network.trains_convolutions:
        yield Notice("conv_block_alphas", "It has no effect without conv_dim or conv_block_dims.")
    if network.conv_alpha is not None and not network.trains_convolutions:
        yield Notice("conv_alpha", "It has no effect without conv_dim or conv_block_dims.")
    if network.conv_dim and network.layers and not network.convolution_rank:
        yield Notice(
            "conv_dim", f"It has no effect with the preset {network.layers}, which leaves 3x3 convolutions alone."
        )
    if network.block_lr_zero_threshold and not (
        network.down_lr_weight or network.mid_lr_weight or network.up_lr_weight
    ):
        yield Notice(
            "block_lr_zero_threshold", "It has no effect without down_lr_weight, mid_lr_weight or up_lr_weight."
        )


def _curve_problems(key: str, text: str | None) -> Iterator[Problem]:
    if not text or curve(text):
        return
    try:
        values = numbers(text)
    except ValueError:
        yield Problem(
            key, f"{text!r} is neither numbers nor one of {', '.join(CURVES)} (with a number added, as in cosine+.25)."
        )
        return
    if min(values, default=0) < 0:
        yield Problem(key, "It has a number below 0; give 0 for a block that is left out.")
