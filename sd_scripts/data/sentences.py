"""What textual inversion reads in place of captions, and whether captions hold the word that is to be learned."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from random import Random

from ..config.schema import Notice, Problem
from ..config.textual_inversion import TextualInversionConfig
from .records import ImageRecord, PlannedDataset

ABOUT_A_THING = (
    "{}",
    "a {}",
    "the {}",
    "one {}",
    "my {}",
    "a picture of {}",
    "a photo of a {}",
    "a photograph of the {}",
    "a sharp photo of a {}",
    "a blurry photo of a {}",
    "a bright photo of the {}",
    "a dark photo of a {}",
    "a small {} in a picture",
    "a large {} that fills the picture",
    "a close view of a {}",
    "the {} seen from afar",
    "a {} cut off at the edge",
    "a fine picture of the {}",
    "a snapshot of my {}",
    "a clean {}",
    "an old {}",
    "a strange {}",
    "a lovely {}",
    "a drawing of the {}",
)
ABOUT_A_STYLE = (
    "a painting in the style of {}",
    "a picture in the style of {}",
    "a drawing in the style of {}",
    "{} style",
    "art by {}",
    "a work in {} style",
    "a bright picture in the style of {}",
    "a dark painting in the style of {}",
    "a small picture in the style of {}",
    "a large painting in the style of {}",
    "a colourful picture in the style of {}",
    "a quiet painting in the style of {}",
    "a detail of a painting in the style of {}",
    "a close view in the style of {}",
    "a lovely picture in the style of {}",
    "a strange painting in the style of {}",
    "a sketch in the style of {}",
    "a fine print in the style of {}",
)


def sentence(record: ImageRecord, config: TextualInversionConfig, rng: Random | None) -> str:
    """What is read in place of an image's captions; without `rng` the first of all sentences."""
    choice = ABOUT_A_THING if config.use_object_template else ABOUT_A_STYLE
    return (rng.choice(choice) if rng else choice[0]).format(" and ".join(_words_of(record, config)))


def _words_of(record: ImageRecord, config: TextualInversionConfig) -> Sequence[str]:
    """Those that the folder's name holds, else all of them."""
    found = {word.lower() for word in config.pattern.findall(record.subset.class_tokens or "")}
    return [word for word in config.token_string if word.lower() in found] or config.token_string


def problems(config: TextualInversionConfig, datasets: Iterable[PlannedDataset]) -> Iterator[Problem]:
    """Captions without any new word teach it nothing."""
    if config.uses_sentences or not config.token_string:
        return
    records = [record for data in datasets for record in data.records if not record.is_reg]
    pattern = config.pattern
    without = sum(not _holds_a_word(record, pattern) for record in records)
    words = " or ".join(config.token_string)
    if records and without == len(records):
        message = f"No caption holds {words}, so there is nothing to learn it from; write it into the captions, set "
        yield Problem("token_string", f"{message}caption_prefix to it, or use one of the kinds of sentences.")
    elif without:
        message = f"{without} of {len(records)} images have captions without {words}, so they teach nothing about it."
        yield Notice("token_string", message)


def _holds_a_word(record: ImageRecord, pattern: re.Pattern[str]) -> bool:
    captions = record.subset.captions
    lines = (captions.caption_prefix, captions.caption_suffix, *record.captions)
    return any(pattern.search(line) for line in lines if line)
