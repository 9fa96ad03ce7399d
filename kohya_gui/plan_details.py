"""Every picture of a plan as the trainer will see it, its caption as it will be read, and what is odd about both."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import APIRouter, Depends
from fastapi.responses import Response
from PIL import Image

from sd_scripts import tokens
from sd_scripts.data import captions, images
from sd_scripts.data.hashes import Hashes
from sd_scripts.data.headers import BadImage
from sd_scripts.data.records import ImageRecord
from sd_scripts.errors import UserError
from sd_scripts.tokens import Read

from . import access, pictures
from .answers import told
from .live import Answer, signed_in
from .plan_view import MOST_KEPT, PLANS, Planned
from .texts import t

MUCH_LOST = 0.15  # of a picture, at its edges
MUCH_ENLARGED = 1.5
MOST_ITEMS = 120
MOST_NAMED = 20
DIMMED = 0.25  # what is left of the light where a mask keeps from learning


class Details:
    """What the page asks about one plan. Each answer is worked out when it is first asked for."""

    def __init__(self, planned: Planned) -> None:
        self.planned = planned
        self.records = planned.records
        self._first_kept_out = sum(len(data.records) for data in planned.plan.datasets)
        self._lock = threading.Lock()

    @cached_property
    def _reads(self) -> dict[tuple[str, int], Read]:
        return {}

    def read(self, record: ImageRecord) -> Read:
        """The caption as it is read when nothing is drawn, without what is left out by chance."""
        model = self.planned.config.model
        key = captions.plain(record.captions, record.subset.captions), model.max_token_length or 0
        found = self._reads.get(key)
        if found is None:
            found = self._reads[key] = tokens.read(key[0], model.max_token_length, model.weighted_captions)
        return found

    @cached_property
    def duplicates(self) -> list[list[int]]:
        """Places of records whose files have the same content. Files of different length aren't read."""
        first = {record.picture.file: place for place, record in reversed(list(enumerate(self.records)))}
        lengths: dict[int, list[int]] = defaultdict(list)
        for file, place in first.items():
            lengths[_length(file)].append(place)
        hashes, same = Hashes(), defaultdict(list)
        for places in (found for length, found in lengths.items() if length and len(found) > 1):
            for place in places:
                same[_hash(hashes, self.records[place].path)].append(place)
        hashes.save()
        return sorted(sorted(places) for content, places in same.items() if content and len(places) > 1)

    @cached_property
    def _kinds(self) -> dict[str, Callable[[int], bool]]:
        twins = {place for places in self.duplicates for place in places}
        return {
            "cut": lambda place: self.read(self.records[place]).cut is not None,
            "empty": lambda place: not self.read(self.records[place]).text.strip(),
            "lost": lambda place: lost(self.records[place]) > MUCH_LOST,
            "enlarged": lambda place: enlarged(self.records[place]) > MUCH_ENLARGED,
            "twins": twins.__contains__,
        }

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """Places of records with something odd about them, by what it is."""
        with self._lock:
            everything = range(len(self.records))
            return {kind: [place for place in everything if is_so(place)] for kind, is_so in self._kinds.items()}

    def checks(self) -> dict[str, Any]:
        """Sentences, each with the kind of pictures that it is about."""
        counts = {kind: len(places) for kind, places in self.places.items()}
        said = [
            {"kind": kind, "count": counts[kind], "words": one if counts[kind] == 1 else many}
            for kind, one, many in self._words(counts)
            if counts[kind]
        ]
        return {
            "count": len(self.records),
            "checks": said,
            "problems": [{"stops": p.stops, "words": p.message} for p in self.planned.plan.problems],
            "twins": [[self._name(place) for place in places] for places in self.duplicates[:MOST_NAMED]],
            "moves": any(data.config.random_crop for data in self.planned.plan.datasets),
        }

    def _words(self, counts: dict[str, int]) -> Iterator[tuple[str, str, str]]:
        """Kind, what is said of one picture, and of many."""
        length = self.planned.config.model.max_token_length or tokens.USUAL_LENGTH
        share = round(100 * MUCH_LOST)
        n = {kind: f"{count:,}" for kind, count in counts.items()}
        yield (
            "cut",
            t("1 caption has more than {length} tokens; its end isn't read.", length=length),
            t(
                "{count} captions have more than {length} tokens; their ends aren't read.",
                count=n["cut"],
                length=length,
            ),
        )
        yield "empty", t("1 caption is empty."), t("{count} captions are empty.", count=n["empty"])
        yield (
            "lost",
            t("1 picture loses more than {share} % at its edges: no size is near its shape.", share=share),
            t("{count} pictures lose more than {share} % at their edges: no size is near their shape.",
              count=n["lost"], share=share),
        )  # fmt: skip
        yield (
            "enlarged",
            t("1 picture is enlarged more than {times} times and will look soft.", times=MUCH_ENLARGED),
            t("{count} pictures are enlarged more than {times} times and will look soft.",
              count=n["enlarged"], times=MUCH_ENLARGED),
        )  # fmt: skip
        yield "twins", "", t("{count} pictures have the same content as another.", count=n["twins"])

    def _name(self, place: int) -> str:
        path = self.records[place].path
        return f"{path.parent.name}/{path.name}"

    def page(self, kind: str, offset: int, limit: int) -> dict[str, Any]:
        """Some of the pictures. kind: one of `places`, or "" for all."""
        found = self.places.get(kind, []) if kind else range(len(self.records))
        shown = found[offset : offset + min(limit, MOST_ITEMS)]
        return {"found": len(found), "offset": offset, "items": [self._shown(place) for place in shown]}

    def _shown(self, place: int) -> dict[str, Any]:
        record = self.records[place]
        read = self.read(record)
        return {
            "place": place,
            "name": self._name(place),
            "size": record.size,
            "bucket": record.bucket,
            "lost": lost(record),
            "enlarged": enlarged(record),
            "repeats": record.repeats,
            "is_reg": record.is_reg,
            "is_kept_out": place >= self._first_kept_out,
            "has_mask": record.mask_path is not None,
            "caption": read.text,
            "tokens": read.tokens,
            "cut": read.cut,
            "more": len(record.captions) - 1 if record.subset.captions.enable_wildcard else 0,
        }

    def crop(self, place: int, side: int) -> bytes:
        """The picture as it is trained, by the trainer's own function; what a mask keeps from being learned is dark.
        Raises UserError."""
        if not 0 <= place < len(self.records):
            raise BadImage("The plan has no such picture; load the page again.")
        record = self.records[place]
        access.allowed(record.path)
        with pictures.AT_ONCE:
            shown = images.show(record, None)
        pixels = shown.pixels
        if shown.mask is not None:
            light = DIMMED + (1 - DIMMED) * shown.mask[..., None].astype(np.float32) / 255
            pixels = (pixels * light).astype(np.uint8)
        return pictures.packed(Image.fromarray(pixels), side)


def lost(record: ImageRecord) -> float:
    """The share of the picture that is cut off."""
    whole = record.resize_to[0] * record.resize_to[1]
    return 1 - record.bucket[0] * record.bucket[1] / whole if whole else 0.0


def enlarged(record: ImageRecord) -> float:
    """How many times as wide it is trained as it is."""
    return record.resize_to[0] / record.size[0]


def _length(file: str) -> int:
    try:
        return Path(file).stat().st_size
    except OSError:
        return 0


def _hash(hashes: Hashes, file: Path) -> str | None:
    try:
        return hashes.of(file)
    except BadImage:
        return None


@lru_cache(maxsize=MOST_KEPT)
def _details(planned: Planned) -> Details:
    return Details(planned)


def details(name: str) -> Details:
    """Raises NoSuchPlan."""
    return _details(PLANS.get(name))


def router() -> APIRouter:
    routes = APIRouter(prefix="/live/plan", dependencies=[Depends(signed_in)], include_in_schema=False)

    @routes.get("/{name}/checks")
    def checks(name: str) -> Answer:
        return told(lambda: details(name).checks())

    @routes.get("/{name}/items")
    def items(name: str, kind: str = "", offset: int = 0, limit: int = 60) -> Answer:
        return told(lambda: details(name).page(kind, max(0, offset), max(1, limit)))

    @routes.get("/{name}/crops/{place}")
    def crop(name: str, place: int, side: int = 320) -> Response:
        try:
            return pictures.answer(details(name).crop(place, pictures.within(side)))
        except UserError as error:
            return Answer({"error": str(error)}, 404)

    return routes
