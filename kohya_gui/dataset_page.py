"""The page on which a folder's pictures and captions are looked at and edited: plain routes, and one script."""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import gradio as gr
from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict

from sd_scripts.curation import edits
from sd_scripts.curation.image_folder import ImageFolder, Item, Outcome, Search, usual_ending
from sd_scripts.data import headers
from sd_scripts.data.texts import OTHER_ENDINGS
from sd_scripts.errors import UserError

from . import access, dataset_making, pictures, places, sentences
from .answers import told
from .dataset_making import DATASETS
from .live import Answer, meant, signed_in
from .runs.supervisor import ROOT

MOST_OPEN = 8
MOST_ITEMS = 200
MOST_TAGS = 1000
MOST_EXAMPLES = 50
MOST_FOLDERS = 500
DEMO = ROOT / "sd_scripts" / "starter" / "demo"


class BadRequest(UserError):
    """Something that the page's own script doesn't ask for."""


class Place(BaseModel):
    """Which captions are meant: a folder's, with this ending, and which of them."""

    model_config = ConfigDict(extra="forbid")
    folder: str
    ending: str = ".txt"
    words: str = ""
    tags: list[str] = []
    state: str = ""
    names: list[str] | None = None

    @property
    def search(self) -> Search:
        names = None if self.names is None else frozenset(self.names)
        return Search(self.words.strip(), tuple(self.tags), self.state, names)


class Written(Place):
    """A caption by hand. seen: the text it takes the place of."""

    name: str
    text: str
    seen: str


class Asked(Place):
    """An edit of many captions."""

    kind: str
    settings: dict[str, Any] = {}

    @property
    def edit(self) -> edits.Edit:
        return edits.read(self.kind, self.settings)


class Library:
    """The folders that were looked at of late."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[Path, str], ImageFolder] = OrderedDict()
        self._lock = threading.Lock()

    def folder(self, path: str, ending: str, *, write: bool = False) -> ImageFolder:
        """Raises UserError for folders that may not be used so, or endings that captions don't have."""
        if ending not in OTHER_ENDINGS:
            raise BadRequest(f"Captions don't end in {ending!r}; there is: {', '.join(OTHER_ENDINGS)}.")
        key = access.allowed(path, write=write), ending
        with self._lock:
            found = self._open.setdefault(key, ImageFolder(*key, may_read=_may_read))
            self._open.move_to_end(key)
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
        return found


def _may_read(path: Path) -> bool:
    try:
        access.allowed(path)
    except UserError:
        return False
    return True


def looked_into(path: str) -> dict[str, Any]:
    """A folder's own folders, and how many images lie in it and in each of them; without a path, where to begin.
    Raises UserError."""
    if not path.strip():
        begin = [place for place in (DEMO, DATASETS, *access.rules().writable) if place.is_dir() and _may_read(place)]
        return {
            "path": "",
            "parent": None,
            "images": 0,
            "ending": ".txt",
            "folders": [_entry(place) for place in begin],
        }
    place = access.allowed(path)
    files, folders = places.listed(place)
    inner = [place / name for name in folders[:MOST_FOLDERS]]
    return {
        "path": str(place),
        "parent": str(place.parent) if place.parent != place and _may_read(place.parent) else "",
        "images": _images(files),
        "ending": usual_ending(files),
        "folders": [_entry(folder, folder.name) for folder in inner if _may_read(folder)],
    }


def _entry(place: Path, name: str = "") -> dict[str, Any]:
    try:
        images = _images(places.listed(place)[0])
    except UserError:
        images = 0
    return {"path": str(place), "name": name or str(place), "images": images}


def _images(names: list[str]) -> int:
    return sum(Path(name).suffix.lower() in headers.readable_endings() for name in names)


def items(folder: ImageFolder, search: Search, offset: int, limit: int) -> dict[str, Any]:
    """One page of the gallery. Sizes are only read of the images that are shown."""
    everything = folder.items()
    found = [item for item in everything if search.finds(item)]
    shown = islice(found, offset, offset + min(limit, MOST_ITEMS))
    return {"all": len(everything), "found": len(found), "offset": offset, "items": [_shown(folder, i) for i in shown]}


def _shown(folder: ImageFolder, item: Item) -> dict[str, Any]:
    caption = item.caption
    return {
        "name": item.name,
        "version": f"{item.stamp[0]:x}-{item.stamp[1]:x}",
        "size": folder.size(item.name),
        "caption": caption.text,
        "has_file": caption.content is not None,
        "problem": caption.problem,
    }


def outcome(folder: ImageFolder, found: Outcome) -> dict[str, Any]:
    """What an edit does or did, with some examples."""
    examples = [
        {"name": item.name, "before": item.caption.text, "after": after}
        for item, after in found.changes[:MOST_EXAMPLES]
    ]
    return {
        "looked_at": found.looked_at,
        "changed": len(found.changes),
        "examples": examples,
        "skipped": list(found.skipped),
        "history": history(folder),
    }


def history(folder: ImageFolder) -> dict[str, Any]:
    """What can be undone and done again next."""
    journal = folder.journal
    done, undone = journal.done(), journal.undone()
    return {
        "undo": sentences.shown(journal.step(done[-1]).words) if done else None,
        "redo": sentences.shown(journal.step(undone[0], undone=True).words) if undone else None,
    }


def tags(folder: ImageFolder) -> dict[str, Any]:
    counts = edits.counted(item.caption.text for item in folder.items())
    return {"all": len(counts), "tags": list(islice(counts.items(), MOST_TAGS))}


def router() -> APIRouter:
    library = Library()
    routes = APIRouter(prefix="/live/dataset", dependencies=[Depends(signed_in)], include_in_schema=False)
    _looking(routes, library)
    _changing(routes, library)
    routes.routes.extend(dataset_making.router().routes)
    return routes


def _looking(routes: APIRouter, library: Library) -> None:
    @routes.get("/folders")
    def folders(path: str) -> Answer:
        return told(lambda: looked_into(path))

    @routes.post("/items")
    def page(place: Place, offset: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1)] = 60) -> Answer:
        return told(lambda: items(library.folder(place.folder, place.ending), place.search, offset, limit))

    @routes.get("/tags")
    def all_tags(folder: str, ending: str = ".txt") -> Answer:
        return told(lambda: tags(library.folder(folder, ending)))

    @routes.get("/history")
    def steps(folder: str, ending: str = ".txt") -> Answer:
        return told(lambda: history(library.folder(folder, ending)))

    @routes.get("/picture")
    def picture(folder: str, name: str, side: int = 320) -> Response:
        try:
            file = access.allowed(library.folder(folder, ".txt").picture(name))
            return pictures.answer(pictures.small(file, pictures.within(side)))
        except UserError as error:
            return Answer({"error": sentences.shown(str(error))}, 404)


def _changing(routes: APIRouter, library: Library) -> None:
    meant_only = [Depends(meant)]

    @routes.post("/caption", dependencies=meant_only)
    def caption(written: Written) -> Answer:
        return told(lambda: _put(library.folder(written.folder, written.ending, write=True), written))

    @routes.post("/try", dependencies=meant_only)
    def tried(asked: Asked) -> Answer:
        return told(lambda: _tried(library.folder(asked.folder, asked.ending, write=True), asked))

    @routes.post("/apply", dependencies=meant_only)
    def applied(asked: Asked) -> Answer:
        return told(lambda: _applied(library.folder(asked.folder, asked.ending, write=True), asked))

    @routes.post("/undo", dependencies=meant_only)
    def undo(place: Place) -> Answer:
        return told(lambda: _stepped(library.folder(place.folder, place.ending, write=True), "undo"))

    @routes.post("/redo", dependencies=meant_only)
    def redo(place: Place) -> Answer:
        return told(lambda: _stepped(library.folder(place.folder, place.ending, write=True), "redo"))


def _put(folder: ImageFolder, written: Written) -> dict[str, Any]:
    folder.put(written.name, written.text, written.seen)
    return {"history": history(folder)}


def _tried(folder: ImageFolder, asked: Asked) -> dict[str, Any]:
    return outcome(folder, folder.tried(asked.edit, asked.search))


def _applied(folder: ImageFolder, asked: Asked) -> dict[str, Any]:
    return outcome(folder, folder.apply(asked.edit, asked.search))


def _stepped(folder: ImageFolder, which: str) -> dict[str, Any]:
    step = folder.undo() if which == "undo" else folder.redo()
    return {"words": sentences.shown(step.words), "changed": len(step.changes), "history": history(folder)}


def build() -> None:
    """Puts the page into the Blocks that are being built; static/dataset.js does the rest."""
    gr.HTML('<div id="dataset"></div>', elem_id="dataset-page")
