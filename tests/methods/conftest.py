"""Models that are read from disk once for all tests of methods."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def fresh() -> Callable[[Any], Any]:
    """The model that a config names, with networks of its own: copying them is quicker than reading them again."""
    from sd_scripts.families import load_family
    from sd_scripts.methods import kind

    read: dict[str, Any] = {}

    def make(config: Any) -> Any:
        precision = kind(config.method).loading(config.precision)
        settings = config.model.model_dump_json() + precision.model_dump_json()
        if settings not in read:
            read[settings] = load_family(config.model, precision)
        made = copy.copy(read[settings])
        made.unet, made.vae, made.text_encoders = copy.deepcopy((made.unet, made.vae, made.text_encoders))
        made.tokenizers, made.notices = [*made.tokenizers], [*made.notices]
        return made

    return make
