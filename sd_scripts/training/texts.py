"""The cache of encoded captions for a run: the family's text encoders and the data's captions brought together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from ..data import captions
from ..data.cache import World
from ..families import text_files
from ..families.kept_texts import KeptTexts, encoded
from .latents import weights_hash

if TYPE_CHECKING:
    from ..config.captions import CaptionConfig
    from ..data.records import ImageRecord
    from ..families.base import ModelFamily

VERSION = 1
Report = Callable[[int, int], None]


def keep(
    family: ModelFamily, config: CaptionConfig, records: Iterable[ImageRecord], report: Report, world: World
) -> None:
    """Encodes all captions of the run; from then on the text encoders wait outside of the GPU's memory.

    Processes share the work of filling files. Raises UserError.
    """
    records = list(records)
    kept = KeptTexts()
    places = _files(family, records) if config.cache_text_encoder_outputs_to_disk else {}
    if places:
        _fill_files(family, places, config.text_encoder_batch_size, report, world)
        kept.files = {caption: file for file, (caption, _) in places.items()}
    else:
        wanted = list(dict.fromkeys(_caption(record) for record in records))
        for done, chunk in _chunks(wanted, config.text_encoder_batch_size):
            kept.known |= encoded(chunk, family)
            report(done, len(wanted))
    if any(record.subset.captions.drops_captions for record in records):
        kept.known |= encoded([""], family)
    family.kept_texts = kept
    for encoder in family.text_encoders:
        encoder.to("cpu")


def _caption(record: ImageRecord) -> str:
    """The only one that the image is trained with, as nothing about it is drawn."""
    config = record.subset.captions.model_copy(update={"caption_dropout_rate": 0, "caption_dropout_every_n_epochs": 0})
    return captions.process(record.captions, config, captions.Moment(1, 0, 1), Random(0))


Places = dict[Path, tuple[str, str]]
"""File -> the caption in it, and the key of all that feeds what the file holds."""


def _files(family: ModelFamily, records: Iterable[ImageRecord]) -> Places:
    facts = [VERSION, family.name, asdict(family.reading), *map(weights_hash, family.text_encoders)]
    places: Places = {}
    for record in records:
        caption = _caption(record)
        key = hashlib.blake2b(json.dumps([*facts, caption]).encode(), digest_size=16).hexdigest()
        file = text_files.file_of(record.path, family.name)
        if places.setdefault(file, (caption, key))[1] != key:  # the image has another caption in another subset
            places[file.with_name(file.name.replace("_te_outputs", f"_{key[:8]}_te_outputs"))] = (caption, key)
    return places


def _fill_files(family: ModelFamily, places: Places, size: int, report: Report, world: World) -> None:
    missing: dict[str, list[Path]] = {}
    for file, (caption, key) in places.items():
        if text_files.stored_key(file) != key:
            missing.setdefault(caption, []).append(file)
    world.wait()  # all must see the same files missing, or some would be encoded by nobody
    mine = sorted(missing)[world.rank :: world.size]
    widths = [encoder.config.hidden_size for encoder in family.text_encoders]
    for done, chunk in _chunks(mine, size):
        for caption, kept in encoded(chunk, family).items():
            for file in missing[caption]:
                text_files.write(file, places[file][1], kept, widths)
        report(done, len(mine))
    world.wait()


def _chunks(wanted: list[str], size: int) -> Iterator[tuple[int, list[str]]]:
    for start in range(0, len(wanted), size):
        chunk = wanted[start : start + size]
        yield start + len(chunk), chunk
