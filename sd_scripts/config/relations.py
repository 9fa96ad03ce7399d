"""What must hold between settings of different groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import family_checks, full, textual_inversion
from .saving import FORMATS
from .schema import Notice, Problem

if TYPE_CHECKING:
    from .train_config import TrainConfig


def across(config: TrainConfig) -> Iterator[Problem]:
    """Problems and notices of settings that don't go together."""
    prediction_type = "v_prediction" if config.model.v_parameterization else "epsilon"
    yield from config.noise.problems_with(prediction_type)
    yield from config.loss.problems_with(prediction_type)
    if config.method == "lora":
        yield from _idle_parts(config)
        yield from _one_rate(config)
    if config.method in full.METHODS:
        yield from full.problems_with(config)
    yield from _format(config)
    if config.method == "textual_inversion":
        yield from textual_inversion.problems_with(config)
    yield from family_checks.problems(config)
    yield from _stays_the_same(config)


def _idle_parts(config: TrainConfig) -> Iterator[Problem]:
    """Rates of parts of the network that are not trained."""
    network, optimizer = config.network, config.optimizer
    text_rates = [rate for rate in optimizer.text_encoder_lr if rate > 0]
    if network.network_train_unet_only and text_rates:
        yield Notice("text_encoder_lr", "Only the U-Net is trained, so it has no effect.")
    if network.network_train_unet_only and config.training.stop_text_encoder_training is not None:
        yield Notice("stop_text_encoder_training", "Only the U-Net is trained, so it has no effect.")
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


def _one_rate(config: TrainConfig) -> Iterator[Problem]:
    network, optimizer = config.network, config.optimizer
    ratios = (network.loraplus_lr_ratio, network.loraplus_unet_lr_ratio, network.loraplus_text_encoder_lr_ratio)
    if optimizer.finds_its_rate and any(ratio not in (None, 1) for ratio in ratios):
        yield Problem(
            "optimizer_type", f"{optimizer.optimizer_type} finds one rate for everything; leave out the LoRA+ ratios."
        )


def _format(config: TrainConfig) -> Iterator[Problem]:
    what, formats = FORMATS[config.method]
    if config.saving.save_model_as not in formats:
        message = f"{what} can't be saved as {config.saving.save_model_as}; choose one of {', '.join(formats)}."
        yield Problem("save_model_as", message)


def _stays_the_same(config: TrainConfig) -> Iterator[Problem]:
    """Settings whose work the engine can't do together with another's."""
    if config.method == "lora" and config.saving.resume and config.network.network_weights:
        yield Notice(
            "network_weights", "The state that is resumed holds the network's weights, so they have no effect."
        )
