"""What is trained. A method is one file here, one group of settings, and one line in `METHODS`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..config.train_config import TrainConfig
    from ..families.base import ModelFamily
    from .base import Method

METHODS = {
    "lora": "adapter.AdapterMethod",
    "dreambooth": "full.FullMethod",
    "finetune": "full.FullMethod",
    "textual_inversion": "textual_inversion.TextualInversion",
}
"""Name of a method -> the class that does it, imported only when it is asked for."""


def create(config: TrainConfig, family: ModelFamily, seed: int = 0) -> Method:
    """The method that the settings name, ready to train in the family's model. Raises UserError."""
    return kind(config.method)(config, family, seed)


def kind(name: str) -> type[Method]:
    module, class_name = METHODS[name].split(".")
    found: type[Method] = getattr(importlib.import_module(f".{module}", __package__), class_name)
    return found
