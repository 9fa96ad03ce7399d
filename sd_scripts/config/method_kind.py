"""What a method means outside its own group of settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .schema import Problem
    from .train_config import TrainConfig


def _no_name(config: TrainConfig) -> str | None:
    return None


@dataclass(frozen=True)
class MethodKind:
    """saves: what it writes, as the subject of a sentence. formats: as what that can be saved. problems: of its
    settings with those of other groups. changes_texts: whether what captions turn into can change during the training.
    way_out: how it can be kept from that. output_name: of files that are given none."""

    saves: str
    formats: tuple[str, ...]
    problems: Callable[[TrainConfig], Iterator[Problem]]
    changes_texts: Callable[[TrainConfig], bool]
    way_out: str
    output_name: Callable[[TrainConfig], str | None] = _no_name


SMALL = ("safetensors", "ckpt", "pt")
WHOLE = ("safetensors", "ckpt", "diffusers", "diffusers_safetensors")
