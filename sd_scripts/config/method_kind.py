"""What a method means outside its own group of settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .model_sizes import Sizes
    from .schema import Problem
    from .textual_inversion import TextualInversionConfig
    from .train_config import TrainConfig


def _nothing(config: TrainConfig) -> None:
    return None


def _no_parts(config: TrainConfig) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, kw_only=True)
class MethodKind:
    """name: as settings have it. title: as people read it. method: its class, in `sd_scripts.methods`.

    saves: what it writes, as the subject of a sentence. formats: as what that can be saved. problems: of its settings
    with those of other groups. changes_texts: whether what captions turn into can change during the training. way_out:
    how it can be kept from that. trained_numbers: how many it learns in a model of these sizes; None where that can't
    be told. whole_parts: those of the model that are trained themselves. words: the settings of those that are learned,
    where any are. output_name: of files that are given none. trains_network: of the kind that the network's settings
    say.
    """

    name: str
    title: str
    method: str
    saves: str
    formats: tuple[str, ...]
    problems: Callable[[TrainConfig], Iterator[Problem]]
    changes_texts: Callable[[TrainConfig], bool]
    way_out: str
    trained_numbers: Callable[[TrainConfig, Sizes], int | None]
    whole_parts: Callable[[TrainConfig], tuple[str, ...]] = _no_parts
    words: Callable[[TrainConfig], TextualInversionConfig | None] = _nothing
    output_name: Callable[[TrainConfig], str | None] = _nothing
    trains_network: bool = False


SMALL = ("safetensors", "ckpt", "pt")
WHOLE = ("safetensors", "ckpt", "diffusers", "diffusers_safetensors")
