"""Kinds of models. A family is one file here, one in names/ and one line in `load_family`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..config.model import ModelConfig
    from ..config.precision import PrecisionConfig
    from .base import ModelFamily


def load_family(model: ModelConfig, precision: PrecisionConfig) -> ModelFamily:
    """The model that the settings name, on the CPU (on the GPU with `lowram`), frozen, in the dtype it computes in.

    Raises UserError where it can't be found, can't be read, or is of another family than the settings say.
    """
    from .sd import StableDiffusion1, StableDiffusion2
    from .sdxl import StableDiffusionXL

    families: tuple[type[ModelFamily], ...] = (StableDiffusion1, StableDiffusion2, StableDiffusionXL)
    return next(kind for kind in families if kind.name == model.family).load(model, precision)
