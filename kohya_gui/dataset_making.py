"""The part of the dataset page that makes new files: uploads, copies in the form that training reads, dataset files."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from PIL import Image
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool

from sd_scripts.config.saving import NOT_IN_A_NAME
from sd_scripts.curation import balance, prepared
from sd_scripts.curation.prepared import Part
from sd_scripts.data import headers
from sd_scripts.data.texts import OTHER_ENDINGS
from sd_scripts.errors import UserError

from . import access, pictures, sentences
from .answers import told
from .live import Answer, meant, signed_in
from .runs.supervisor import ROOT
from .texts import t

DATASETS = ROOT / "outputs" / "datasets"
"""Where folders that visitors upload or have made lie."""

LARGEST_FILE = 64 << 20
FULLEST_FOLDER = 20 << 30
MOST_FILES = 20_000
LONGEST_NAME = 120
_uploading = threading.Lock()


class BadUpload(UserError):
    """A file that isn't taken."""


class Copied(BaseModel):
    model_config = ConfigDict(extra="forbid")
    folder: str
    repeats: int
    words: str
    is_reg: bool = False


class Wanted(BaseModel):
    """A set of folders to be made by copying. name: of the folder that they are put into."""

    model_config = ConfigDict(extra="forbid")
    name: str
    parts: list[Copied]


class Balanced(BaseModel):
    """A dataset file to be written. repeats: by the folders' names."""

    model_config = ConfigDict(extra="forbid")
    folder: str
    name: str
    repeats: dict[str, int]


def place_named(name: str) -> Path:
    """The folder of a set, which the app may write to. Raises UserError."""
    plain = " ".join(name.split())
    wrong = [letter for letter in NOT_IN_A_NAME if letter in plain]
    if not plain or wrong or plain.startswith(".") or len(plain) > LONGEST_NAME or not plain.isprintable():
        why = f" because of {wrong[0]!r}" if wrong else ""
        raise BadUpload(t("{name} can't be the name of a folder{why}; choose another.", name=repr(name), why=why))
    return access.allowed(DATASETS / plain, write=True)


# Uploads


async def take(name: str, folder: str, chunks: AsyncIterator[bytes]) -> Path:
    """Writes what comes, whole or not at all, and never over another file. Raises UserError."""
    place = place_named(folder)
    target = place / _checked(name)
    part = place / f".{os.getpid()}.{target.name}.part"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            async for chunk in chunks:
                if file.tell() + len(chunk) > LARGEST_FILE:
                    raise BadUpload(f"{target.name} is larger than {LARGEST_FILE >> 20} MB; make it smaller.")
                file.write(chunk)
        await run_in_threadpool(_settle, part, target)
    except OSError as error:
        raise BadUpload(f"{target.name} can't be written: {error.strerror}; look at the disk of {place}.") from error
    finally:
        part.unlink(missing_ok=True)
    return target


def _checked(name: str) -> str:
    known = {*headers.readable_endings(), *OTHER_ENDINGS}
    if Path(name).suffix.lower() not in known:
        raise BadUpload(f"{name} is neither an image nor a caption; there is: {', '.join(sorted(known))}.")
    if name.startswith(".") or len(name) > LONGEST_NAME * 2 or re.search(r'[/\\:*?"<>|\x00-\x1f]', name):
        raise BadUpload(f"{name!r} can't be the name of a file; rename it.")
    return name


def _settle(part: Path, target: Path) -> None:
    """Takes the file in if it is what its name says. Raises UserError."""
    if target.suffix.lower() in OTHER_ENDINGS:
        try:
            part.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise BadUpload(f"The caption {target.name} is not UTF-8 text; save it as UTF-8.") from error
    else:
        try:
            headers.size_of(part)
        except headers.BadImage as error:
            raise BadUpload(f"{target.name} is broken or no image.") from error
    with _uploading:
        _check_fullness(target.parent, part.stat().st_size)
        if target.exists():
            raise BadUpload(f"There is already a {target.name} in {target.parent.name}; nothing was written over.")
        part.replace(target)


def _check_fullness(folder: Path, more: int) -> None:
    with os.scandir(folder) as entries:
        sizes = [entry.stat().st_size for entry in entries if not entry.name.startswith(".")]
    if len(sizes) >= MOST_FILES:
        raise BadUpload(f"The folder {folder.name} holds {MOST_FILES:,} files already; begin another.")
    if sum(sizes) + more > FULLEST_FOLDER:
        raise BadUpload(f"The folder {folder.name} holds {FULLEST_FOLDER >> 30} GB already; begin another.")


# Routes


def router() -> APIRouter:
    routes = APIRouter(prefix="/live/dataset", dependencies=[Depends(signed_in)], include_in_schema=False)
    _making(routes)
    _masks(routes)
    return routes


def _making(routes: APIRouter) -> None:
    @routes.post("/upload", dependencies=[Depends(meant)])
    async def upload(request: Request, name: str, folder: str) -> Answer:
        try:
            path = await take(name, folder, request.stream())
        except UserError as error:
            return Answer({"error": sentences.shown(str(error))}, 409)
        return Answer({"folder": str(path.parent)})

    @routes.post("/prepare", dependencies=[Depends(meant)])
    def prepare(wanted: Wanted) -> Answer:
        return told(lambda: _prepare(wanted))

    @routes.get("/balance")
    def weighed(path: str) -> Answer:
        return told(lambda: {"folders": [_row(folder) for folder in balance.weighed(access.allowed(path))]})

    @routes.post("/balance", dependencies=[Depends(meant)])
    def balanced(wanted: Balanced) -> Answer:
        return told(lambda: _balance(wanted))


def _prepare(wanted: Wanted) -> dict[str, Any]:
    parts = [Part(access.allowed(p.folder), p.repeats, p.words, p.is_reg) for p in wanted.parts]
    made = prepared.prepare(parts, place_named(wanted.name))
    reg = str(made.regularization) if made.regularization else None
    return {"train_data_dir": str(made.training), "reg_data_dir": reg, "files": made.files}


def _row(folder: balance.Weighed) -> dict[str, Any]:
    return {
        "name": folder.path.name, "path": str(folder.path), "words": folder.words, "images": folder.images,
        "repeats": folder.repeats, "suggested": folder.suggested,
    }  # fmt: skip


def _balance(wanted: Balanced) -> dict[str, Any]:
    folders = balance.weighed(access.allowed(wanted.folder))
    wrong = [name for name, repeats in wanted.repeats.items() if not 1 <= repeats <= balance.MOST_REPEATS]
    if wrong:
        raise BadUpload(t("The repeats of {name} are not a number from 1 to {most}.", name=wrong[0],
                          most=balance.MOST_REPEATS))  # fmt: skip
    file = place_named(f"{wanted.name}.toml")
    file.parent.mkdir(parents=True, exist_ok=True)
    balance.write(file, balance.dataset_file(folders, wanted.repeats))
    return {"dataset_config": str(file)}


def _masks(routes: APIRouter) -> None:
    @routes.get("/mask")
    def mask(masks: str, name: str, side: Annotated[int, Query()] = 320) -> Response:
        """The mask of an image, by its name without ending."""
        try:
            return pictures.answer(_mask(access.allowed(masks), name, pictures.within(side)))
        except UserError as error:
            return Answer({"error": str(error)}, 404)


def _mask(folder: Path, name: str, side: int) -> bytes:
    """White is learned; shown as the red channel, which is what training reads."""
    stem = Path(name).stem
    try:
        found = sorted(file for file in os.listdir(folder) if Path(file).stem == stem)
    except OSError as error:
        raise BadUpload(f"The folder of masks {folder} can't be read: {error.strerror}; check its name.") from error
    readable = [file for file in found if Path(file).suffix.lower() in headers.readable_endings()]
    if not readable:
        raise BadUpload(f"There is no mask for {name} in {folder}.")
    file = access.allowed(folder / readable[0])
    try:
        with pictures.AT_ONCE, Image.open(file) as opened:
            return pictures.packed(opened.convert("RGB").getchannel("R"), side)
    except (OSError, SyntaxError, ValueError) as error:
        raise headers.BadImage(f"The mask {file} is broken or can't be read.") from error
