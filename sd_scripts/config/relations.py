"""What must hold between settings of different groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .method_kind import MethodKind
from .schema import Notice, Problem

if TYPE_CHECKING:
    from .train_config import TrainConfig

OF_VALIDATION = ("validation_seed", "validate_every_n_steps", "validate_every_n_epochs", "max_validation_steps")
SDXL_AREA = 1024 * 1024
"""Pixels of the pictures that SDXL has learned from."""


def across(config: TrainConfig) -> Iterator[Problem]:
    """Problems and notices of settings that don't go together."""
    prediction_type = "v_prediction" if config.model.v_parameterization else "epsilon"
    yield from config.noise.problems_with(prediction_type)
    yield from config.loss.problems_with(prediction_type)
    kind = config.method_kind
    yield from kind.problems(config)
    yield from _format(config, kind)
    if config.captions.caches_texts:
        yield from _cached_texts(config, kind)
    yield from _size(config)
    if not config.training.validates and not config.dataset.dataset_config:  # which can have splits of its own
        for key in OF_VALIDATION:
            if getattr(config.training, key) is not None:
                yield Notice(key, "It has no effect unless a validation split is set.")


def _format(config: TrainConfig, kind: MethodKind) -> Iterator[Problem]:
    if config.saving.save_model_as not in kind.formats:
        choices = ", ".join(kind.formats)
        message = f"{kind.saves} can't be saved as {config.saving.save_model_as}; choose one of {choices}."
        yield Problem("save_model_as", message)


def _cached_texts(config: TrainConfig, kind: MethodKind) -> Iterator[Problem]:
    if kind.changes_texts(config):
        message = f"The text encoder is trained, so its outputs can't be cached; {kind.way_out}."
        yield Problem("cache_text_encoder_outputs", message)
    if config.model.no_token_padding:
        message = (
            "What the text encoder says can be cached only for captions of one length; turn this or the cache off."
        )
        yield Problem("no_token_padding", message)


def _size(config: TrainConfig) -> Iterator[Problem]:
    width, height = config.dataset.size
    if config.family == "sdxl" and width * height < SDXL_AREA / 2 and not config.dataset.dataset_config:
        yield Notice(
            "resolution",
            f"SDXL has learned from pictures of about 1024 x 1024; it does badly at {width} x {height}, so set 1024.",
        )
