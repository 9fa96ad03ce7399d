"""What is trained. A method is one file here and one group of settings, which declares it in `config.methods`."""

from __future__ import annotations

import pkgutil
from typing import TYPE_CHECKING

from ..config.methods import METHODS

if TYPE_CHECKING:
    from ..config.train_config import TrainConfig
    from ..families.base import ModelFamily
    from .base import Method


def create(config: TrainConfig, family: ModelFamily, seed: int = 0) -> Method:
    """The method that the settings name, ready to train in the family's model. Raises UserError."""
    return kind(config.method)(config, family, seed)


def kind(name: str) -> type[Method]:
    """The class that does it, imported only when it is asked for."""
    found: type[Method] = pkgutil.resolve_name(f"{__name__}.{METHODS[name].method}")
    return found
