"""What must hold between the family of the model and the other settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import full
from .block_weights import BLOCKS
from .network import rates
from .network_checks import counting_problems
from .network_kinds import USUAL_RATES
from .schema import Notice, Problem

if TYPE_CHECKING:
    from .train_config import TrainConfig

SDXL_AREA = 1024 * 1024
"""Pixels of the pictures that SDXL has learned from."""

WAYS_OUT = {
    "lora": "its outputs can't be cached; turn network_train_unet_only on, or this off",
    **dict.fromkeys(full.METHODS, "its outputs can't be cached; turn train_text_encoder off, or this"),
    "textual_inversion": "its outputs can't be cached; turn this off",
}


def problems(config: TrainConfig) -> Iterator[Problem]:
    if config.method == "lora":
        yield from _network_problems(config)
    if config.captions.caches_texts and trains_text_encoder(config):
        yield Problem("cache_text_encoder_outputs", f"The text encoder is trained, so {WAYS_OUT[config.method]}.")
    if config.model.no_token_padding and config.captions.caches_texts:
        message = (
            "What the text encoder says can be cached only for captions of one length; turn this or the cache off."
        )
        yield Problem("no_token_padding", message)
    width, height = config.dataset.size
    if config.family == "sdxl" and width * height < SDXL_AREA / 2 and not config.dataset.dataset_config:
        yield Notice(
            "resolution",
            f"SDXL has learned from pictures of about 1024 x 1024; it does badly at {width} x {height}, so set 1024.",
        )


def _network_problems(config: TrainConfig) -> Iterator[Problem]:
    if not any(problem.stops for problem in config.network.relations()):
        yield from counting_problems(config.network.resolved(), BLOCKS[config.family])
    yield from _rate_notices(config)
    given, used = len(config.optimizer.text_encoder_lr), len(full.text_parts(config.family))
    if given > used:
        count = "one text encoder" if used == 1 else f"{used} text encoders"
        yield Notice(
            "text_encoder_lr", f"It has {given} numbers, and the model has {count}; the others have no effect."
        )


def _rate_notices(config: TrainConfig) -> Iterator[Notice]:
    usual, rate = USUAL_RATES.get(config.adapter or ""), rates(config.network, config.optimizer)["unet"]
    is_adam = "adam" in config.optimizer.optimizer_type.lower() and not config.optimizer.finds_its_rate
    if usual and rate and is_adam and not usual[0] <= rate <= usual[1]:
        low, high = usual
        yield Notice(
            "learning_rate" if config.optimizer.unet_lr is None else "unet_lr",
            f"It is {rate:g}; {config.adapter} networks learn with {low:g} to {high:g} what LoRA learns with 0.0001.",
        )


def trains_text_encoder(config: TrainConfig) -> bool:
    """Whether what captions turn into can change during the training."""
    if config.method == "lora":
        return any(rate for part, rate in rates(config.network, config.optimizer).items() if part != "unet")
    if config.method in full.METHODS:
        return any(rate for part, rate in full.part_rates(config).items() if part != "unet")
    return True
