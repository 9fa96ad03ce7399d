"""What must hold between the settings of a network and those of other groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import full
from .block_weights import BLOCKS, differ
from .method_kind import SMALL, MethodKind
from .network import rates
from .network_checks import counting_problems
from .network_kinds import KINDS
from .network_size import trained_numbers
from .schema import Notice, Problem

if TYPE_CHECKING:
    from .network import NetworkConfig
    from .optimizer import OptimizerConfig
    from .train_config import TrainConfig


def problems(config: TrainConfig) -> Iterator[Problem]:
    yield from _idle_parts(config)
    if not any(problem.stops for problem in config.network.relations()):
        network = config.network.resolved()
        yield from _one_rate(network, config.optimizer)
        yield from counting_problems(network, BLOCKS[config.family])
    yield from _rate_notices(config)
    yield from _spare_rates(config)
    if config.saving.resume and config.network.network_weights:
        message = "The state that is resumed holds the network's weights, so they have no effect."
        yield Notice("network_weights", message)


def _idle_parts(config: TrainConfig) -> Iterator[Problem]:
    """Rates of parts of the network that are not trained."""
    network, optimizer = config.network, config.optimizer
    text_rates = [rate for rate in optimizer.text_encoder_lr if rate > 0]
    if network.network_train_unet_only and text_rates:
        yield Notice("text_encoder_lr", "Only the U-Net is trained, so it has no effect.")
    if network.network_train_text_encoder_only and optimizer.unet_lr:
        yield Notice("unet_lr", "Only the text encoder is trained, so it has no effect.")
    if network.network_train_unet_only and optimizer.unet_lr == 0:
        yield Problem(
            "unet_lr", "It is 0 and network_train_unet_only is on, so nothing would be trained; change one of them."
        )
    if network.network_train_text_encoder_only and optimizer.text_encoder_lr and not text_rates:
        yield Problem(
            "text_encoder_lr",
            "It is 0 and network_train_text_encoder_only is on, so nothing would be trained; change one of them.",
        )
    if config.training.stop_text_encoder_training is not None:
        yield from _stopped(config)


def _stopped(config: TrainConfig) -> Iterator[Problem]:
    """What comes of the end of the text encoder's training."""
    network, (unet, *texts) = config.network, config.optimizer.rates
    if network.network_train_unet_only:
        yield Notice("stop_text_encoder_training", "Only the U-Net is trained, so it has no effect.")
    elif not any(texts):
        yield Notice("stop_text_encoder_training", full.NO_TEXT_ENCODER)
    elif network.network_train_text_encoder_only or not unet:
        yield Problem("stop_text_encoder_training", full.NOTHING_LEFT)


def _one_rate(network: NetworkConfig, optimizer: OptimizerConfig) -> Iterator[Problem]:
    """What asks for several rates of an optimizer that has one."""
    ratios = ("loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio")
    given = [key for key in ratios if getattr(network, key) not in (None, 1)]
    weights = {key: getattr(network, key) for key in ("down_lr_weight", "mid_lr_weight", "up_lr_weight")}
    factors = [key for key, text in weights.items() if text] if differ(*weights.values()) else []
    if optimizer.is_relative_step:
        idle = "AdaFactor with relative_step finds one rate for everything, so it has no effect."
        yield from (Notice(key, idle) for key in given)
        yield from (Notice(key, full.ONLY_WHICH_BLOCKS) for key in factors)
    elif optimizer.finds_its_rate:
        start = f"{optimizer.optimizer_type} finds one rate for everything; leave out the"
        if given:
            yield Problem("optimizer_type", f"{start} LoRA+ ratios.")
        if factors:
            yield Problem("optimizer_type", f"{start} weights of blocks.")


def _rate_notices(config: TrainConfig) -> Iterator[Notice]:
    kind, rate = KINDS.get(config.adapter or ""), rates(config.network, config.optimizer, config.training)["unet"]
    usual = kind.usual_rates if kind else None
    is_adam = "adam" in config.optimizer.optimizer_type.lower() and not config.optimizer.finds_its_rate
    if usual and rate and is_adam and not usual[0] <= rate <= usual[1]:
        low, high = usual
        yield Notice(
            "learning_rate" if config.optimizer.unet_lr is None else "unet_lr",
            f"It is {rate:g}; {config.adapter} networks learn with {low:g} to {high:g} what LoRA learns with 0.0001.",
        )


def _spare_rates(config: TrainConfig) -> Iterator[Notice]:
    given, used = len(config.optimizer.text_encoder_lr), len(full.text_parts(config.family))
    if given > used:
        count = "one text encoder" if used == 1 else f"{used} text encoders"
        yield Notice(
            "text_encoder_lr", f"It has {given} numbers, and the model has {count}; the others have no effect."
        )


def changes_texts(config: TrainConfig) -> bool:
    return any(
        rate for part, rate in rates(config.network, config.optimizer, config.training).items() if part != "unet"
    )


KIND = MethodKind(
    name="lora",
    title="LoRA",
    method="adapter:AdapterMethod",
    saves="A network",
    formats=SMALL,
    problems=problems,
    changes_texts=changes_texts,
    way_out="turn network_train_unet_only on, or this off",
    trained_numbers=trained_numbers,
    trains_network=True,
)
