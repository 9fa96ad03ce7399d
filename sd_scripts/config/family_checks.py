"""What must hold between the family of the model and the other settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .block_weights import BLOCKS
from .network_checks import counting_problems
from .schema import Notice, Problem

if TYPE_CHECKING:
    from .train_config import TrainConfig

TEXT_ENCODERS = {"sd1": 1, "sd2": 1, "sdxl": 2}
SDXL_AREA = 1024 * 1024
"""Pixels of the pictures that SDXL has learned from."""


def problems(config: TrainConfig) -> Iterator[Problem]:
    if config.method == "lora":
        yield from _network_problems(config)
    width, height = config.dataset.size
    if config.family == "sdxl" and width * height < SDXL_AREA / 2 and not config.dataset.dataset_config:
        yield Notice(
            "resolution",
            f"SDXL has learned from pictures of about 1024 x 1024; it does badly at {width} x {height}, so set 1024.",
        )


def _network_problems(config: TrainConfig) -> Iterator[Problem]:
    if not any(problem.stops for problem in config.network.relations()):
        yield from counting_problems(config.network.resolved(), BLOCKS[config.family])
    given, used = len(config.optimizer.text_encoder_lr), TEXT_ENCODERS[config.family]
    if given > used:
        count = "one text encoder" if used == 1 else f"{used} text encoders"
        yield Notice(
            "text_encoder_lr", f"It has {given} numbers, and the model has {count}; the others have no effect."
        )
