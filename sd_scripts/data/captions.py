"""What becomes of a caption on its way to the tokenizer, in the order of sd-scripts. Every draw comes from a given
`Random`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from ..config.captions import CaptionConfig

ESCAPES = {"{{": "\ue000", "}}": "\ue001"}
CHOICE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Moment:
    """When a caption is read. epoch: counted from 1. step: changes of the weights so far. total_steps: of the whole
    run."""

    epoch: int
    step: int
    total_steps: int


def process(lines: Sequence[str], config: CaptionConfig, moment: Moment, rng: Random) -> str:
    """The caption of one image as it is trained this once. `lines`: the caption file's, of which one is used."""
    lines = [framed(line, config) for line in lines or ("",)]
    if is_dropped(config, moment, rng):
        return ""
    caption = _wildcards(rng.choice(lines), rng) if config.enable_wildcard else lines[0]
    if config.shuffle_caption or config.token_warmup_step > 0 or config.caption_tag_dropout_rate > 0:
        caption = _rearranged(caption, config, moment, rng)
    if config.secondary_separator:
        caption = caption.replace(config.secondary_separator, config.caption_separator)
    return caption


def plain(lines: Sequence[str], config: CaptionConfig) -> str:
    """The caption with nothing drawn: the first line whole, and the first of several words to choose from."""
    caption = framed(lines[0] if lines else "", config)
    if config.enable_wildcard:
        caption = _wildcards(caption, None)
    if config.keep_tokens_separator and config.keep_tokens_separator in caption:
        caption = ", ".join(part for group in _divided(caption, config) for part in group)
    return (
        caption.replace(config.secondary_separator, config.caption_separator) if config.secondary_separator else caption
    )


def framed(line: str, config: CaptionConfig) -> str:
    """With prefix and suffix."""
    return " ".join(part for part in (config.caption_prefix, line, config.caption_suffix) if part)


def is_dropped(config: CaptionConfig, moment: Moment, rng: Random) -> bool:
    """Whether this image is trained without words, by rate or because the epoch's turn has come."""
    by_rate = config.caption_dropout_rate > 0 and rng.random() < config.caption_dropout_rate
    every = config.caption_dropout_every_n_epochs
    return by_rate or (every > 0 and moment.epoch % every == 0)


def _wildcards(caption: str, rng: Random | None) -> str:
    """`{a|b}` -> one of both (without `rng` the first), from the inside out; `{{` and `}}` stand for the braces
    themselves."""
    for doubled, stand_in in ESCAPES.items():
        caption = caption.replace(doubled, stand_in)
    found = CHOICE.search(caption)
    while found:
        caption = caption[: found.start()] + _one_of(found.group(1).split("|"), rng) + caption[found.end() :]
        found = CHOICE.search(caption)
    for doubled, stand_in in ESCAPES.items():
        caption = caption.replace(stand_in, doubled[0])
    return caption


def _one_of(words: list[str], rng: Random | None) -> str:
    return words[0] if rng is None else rng.choice(words)


def _rearranged(caption: str, config: CaptionConfig, moment: Moment, rng: Random) -> str:
    """Parts between separators: kept ones stay, the others are warmed up, shuffled and left out by chance."""
    head, free, tail = _divided(caption, config)
    free = free[: _allowed(len(free), config, moment)]
    if config.shuffle_caption:
        rng.shuffle(free)
    if config.caption_tag_dropout_rate > 0:
        free = [part for part in free if rng.random() >= config.caption_tag_dropout_rate]
    return ", ".join([*head, *free, *tail])


def _divided(caption: str, config: CaptionConfig) -> tuple[list[str], list[str], list[str]]:
    """Parts that stay in front, parts that may be moved, parts that stay at the end."""
    mark = config.keep_tokens_separator
    if mark and mark in caption:
        head, _, rest = caption.partition(mark)
        free, _, tail = rest.partition(mark)
        return _parts(head, config), _parts(free, config), _parts(tail, config)
    parts = _parts(caption, config)
    return parts[: config.keep_tokens], parts[config.keep_tokens :], []


def _parts(text: str, config: CaptionConfig) -> list[str]:
    return [part.strip() for part in text.split(config.caption_separator) if part.strip()]


def _allowed(count: int, config: CaptionConfig, moment: Moment) -> int:
    """How many of the free parts are used so far in the caption warm-up."""
    steps = config.token_warmup_step
    if steps <= 0:
        return count
    if steps < 1:
        steps = math.floor(steps * moment.total_steps)
    if moment.step >= steps:
        return count
    least = config.token_warmup_min
    return min(count, math.floor(moment.step * (count - least) / steps) + least)
