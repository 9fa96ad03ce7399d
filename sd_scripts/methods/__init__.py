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
    "textual_inversion": "textual_inversion.TextualInversion",
}
"""Name of a method -> the class that does it, imported only when it is asked for."""


def create(config: TrainConfig, family: ModelFamily, seed: int = 0) -> Method:
    """The method that the settings name, ready to train in the family's model. Raises UserError."""
    module, name = METHODS[config.method].split(".")
    kind: type[Method] = getattr(importlib.import_module(f".{module}", __package__), name)
    return kind(config, family, seed)
