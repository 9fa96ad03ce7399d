"""What the runs page asks for and does: plain routes like those of the live view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query
from fastapi.responses import FileResponse, Response

from sd_scripts.errors import UserError

from .runs import queue, trained
from .runs.compare import compare
from .runs.listing import Listing
from .runs.supervisor import Supervisor

MOST_TAGS, LONGEST_TAG, LONGEST_NOTES, LONGEST_NAME = 30, 60, 20_000, 200
Told = Callable[[Callable[[], Any]], Response]


@dataclass(frozen=True)
class Desk:
    """What the routes share. told: what an action returns, or a user's mistake in its sentence, as an answer."""

    supervisor: Supervisor
    listing: Listing
    told: Told

    def done(self, action: Callable[[], Any]) -> Response:
        """An action that changes something, which everybody sees at once."""

        def act() -> dict[str, Any]:
            found = action()
            self.listing.stale()
            return {"run": found} if isinstance(found, str) else {}

        return self.told(act)

    def file(self, find: Callable[[], Path], name: str) -> Response:
        """To be kept by the browser under that name."""
        try:
            path = find()
        except UserError as error:
            return Response(str(error), 404, media_type="text/plain")
        if not path.is_file():
            return Response(f"There is no {path.name}.", 404, media_type="text/plain")
        return FileResponse(path, filename=name, headers={"Cache-Control": "no-store"})


def add(routes: APIRouter, supervisor: Supervisor, told: Told, meant: Callable[..., None]) -> None:
    """Puts the routes among those of the live view. `meant` refuses what another site's page sends."""
    desk = Desk(supervisor, Listing(supervisor), told)
    _reading(routes, desk)
    _acting(routes, desk, meant)
    _noting(routes, desk, meant)


def _reading(routes: APIRouter, desk: Desk) -> None:
    @routes.get("/list")
    def runs(token: str = "", serial: int = -1) -> Response:
        return desk.told(lambda: desk.listing.since(token, serial))

    @routes.get("/compare")
    def side_by_side(run: Annotated[list[str], Query()]) -> Response:
        return desk.told(lambda: compare(desk.supervisor.store, run))

    @routes.get("/runs/{run_id}/files")
    def goes(run_id: str) -> Response:
        return desk.told(lambda: trained.what_goes(desk.supervisor.store, run_id))

    @routes.get("/runs/{run_id}/trained/{name}")
    def take(run_id: str, name: str) -> Response:
        return desk.file(lambda: trained.file(desk.supervisor.store, run_id, name), name)

    @routes.get("/runs/{run_id}/console.log")
    def log(run_id: str) -> Response:
        return desk.file(lambda: desk.supervisor.store.folder(run_id).console, f"{run_id}.log")


def _acting(routes: APIRouter, desk: Desk, meant: Callable[..., None]) -> None:
    supervisor = desk.supervisor
    actions: dict[str, Callable[[str], Any]] = {
        "pause": supervisor.pause,
        "resume": supervisor.resume,
        "cancel": supervisor.cancel,
        "duplicate": supervisor.duplicate,
    }

    @routes.post("/runs/{run_id}/do/{what}", dependencies=[Depends(meant)])
    def act(run_id: str, what: str) -> Response:
        if what in queue.MOVES:
            return desk.done(lambda: supervisor.move(run_id, what))  # type: ignore[arg-type]
        if what not in actions:
            return Response(status_code=404)
        return desk.done(lambda: actions[what](run_id))

    @routes.post("/runs/{run_id}/change", dependencies=[Depends(meant)])
    def change(run_id: str, asked: Annotated[dict[str, Any], Body()]) -> Response:
        return desk.done(lambda: supervisor.change(run_id, asked))

    @routes.post("/runs/{run_id}/secrets", dependencies=[Depends(meant)])
    def give(run_id: str, given: Annotated[dict[str, str], Body()]) -> Response:
        return desk.done(lambda: supervisor.give_secrets(run_id, given))

    @routes.post("/runs/{run_id}/delete", dependencies=[Depends(meant)])
    def delete(run_id: str, files: bool = False) -> Response:
        return desk.done(lambda: trained.delete(supervisor.store, run_id, with_files=files))


def _noting(routes: APIRouter, desk: Desk, meant: Callable[..., None]) -> None:
    @routes.post("/runs/{run_id}/note", dependencies=[Depends(meant)])
    def note(
        run_id: str,
        name: Annotated[str, Body()] = "",
        tags: Annotated[list[str] | None, Body()] = None,
        notes: Annotated[str | None, Body()] = None,
    ) -> Response:
        given: dict[str, Any] = {} if tags is None else {"tags": cleaned(tags)}
        given |= {} if notes is None else {"notes": notes[:LONGEST_NOTES]}
        given |= {"name": name.strip()[:LONGEST_NAME]} if name.strip() else {}
        return desk.done(lambda: desk.supervisor.store.note(run_id, **given))


def cleaned(tags: list[str]) -> tuple[str, ...]:
    """Each once, without spaces around it."""
    return tuple(dict.fromkeys(tag.strip()[:LONGEST_TAG] for tag in tags if tag.strip()))[:MOST_TAGS]
