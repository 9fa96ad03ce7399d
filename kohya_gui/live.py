"""What the live view asks for and does: plain routes beside Gradio's, which its queue can't hold up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import orjson
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import FileResponse, Response

from sd_scripts.errors import UserError

from . import runs_routes, sentences
from .runs import trained
from .runs.machine import Machine
from .runs.store import PICTURES, NoSuchRun, RunStore
from .runs.supervisor import Supervisor
from .tensorboard import PREFIX, TensorBoard

LISTED_RUNS = 50
SHOWN_FILES = 12
SHUT = -2
HOP_HEADERS = {"connection", "content-length", "content-encoding", "transfer-encoding", "keep-alive"}


class Answer(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)  # NaN becomes null


@dataclass(frozen=True)
class Known:
    """What a browser has already: curve points of a generation, validation losses, samples, bytes of log. It gets only
    what is new, and nothing of a log that is SHUT."""

    generation: int = -1
    points: int = 0
    validation: int = -1
    samples: int = -1
    log: int = -1


def signed_in(request: Request) -> None:
    """Lets through whom Gradio's own pages would let through."""
    app = request.app
    if app.auth is None and app.auth_dependency is None:
        return
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    if not any(app.tokens.get(request.cookies.get(name)) for name in names):
        raise HTTPException(401, "Sign in first.")


def meant(request: Request) -> None:
    """Another site's page can make a browser send a form, but not this header."""
    if request.headers.get("x-live") != "1":
        raise HTTPException(403, "This address is for the app's own page.")


def changes(store: RunStore, run_id: str, known: Known) -> dict[str, Any]:
    """The run's description, with its curve, samples and log where they changed."""
    answer = store.describe(run_id)
    reader = store.reader(run_id)
    answer["curve"] = reader.curve_since(known.generation, known.points)
    answer["files"] = trained.newest(reader.saved, SHOWN_FILES)
    if len(reader.samples) != known.samples:
        answer["samples"] = [reader.samples[place] for place in sorted(reader.samples)]
    if len(reader.validation) != known.validation:
        answer["validations"] = list(reader.validation.items())
    if known.log != SHUT:
        text, size = store.log(run_id)
        if size != known.log:
            answer["log"] = {"text": text, "size": size}
    return answer


def _told(action: Callable[[], Any]) -> Answer:
    """What the action returns; a user's mistake becomes its sentence."""
    try:
        return Answer(action())
    except NoSuchRun as error:
        return Answer({"error": sentences.shown(str(error))}, 404)
    except UserError as error:
        return Answer({"error": sentences.shown(str(error))}, 409)
    except OSError as error:  # a full disk, most often
        return Answer({"error": f"{error.filename or 'The disk'}: {error.strerror or error}."}, 507)


def router(store: RunStore, supervisor: Supervisor, board: TensorBoard) -> APIRouter:
    routes = APIRouter(prefix="/live", dependencies=[Depends(signed_in)], include_in_schema=False)
    _reading(routes, store, supervisor, board)
    _acting(routes, store, supervisor, board)
    _showing_board(routes, board)
    runs_routes.add(routes, supervisor, _told, meant)
    return routes


def _reading(routes: APIRouter, store: RunStore, supervisor: Supervisor, board: TensorBoard) -> None:
    machine = Machine()

    @routes.get("/runs")
    def runs() -> Answer:
        return Answer({"runs": store.overview(LISTED_RUNS), "tensorboard": board.running})

    @routes.get("/runs/{run_id}/state")
    def state(run_id: str, known: Annotated[Known, Depends()]) -> Answer:
        return _told(lambda: {**changes(store, run_id, known), **supervisor.words(run_id), "machine": machine.load()})

    @routes.get("/runs/{run_id}/samples/{file}")
    def sample(run_id: str, file: str) -> Response:
        try:
            path = store.picture(run_id, file)
        except UserError as error:
            return Answer({"error": sentences.shown(str(error))}, 404)
        return FileResponse(
            path, media_type=PICTURES[path.suffix.lower()], headers={"Cache-Control": "private, max-age=3600"}
        )


def _acting(routes: APIRouter, store: RunStore, supervisor: Supervisor, board: TensorBoard) -> None:
    @routes.post("/runs/{run_id}/ask/{what}", dependencies=[Depends(meant)])
    def ask(run_id: str, what: str) -> Answer:
        return _told(lambda: _ask(supervisor, run_id, what))

    @routes.post("/tensorboard/start", dependencies=[Depends(meant)])
    def start(run_id: str = "") -> Answer:
        return _told(lambda: _start(board, _logs(store, run_id)))

    @routes.post("/tensorboard/stop", dependencies=[Depends(meant)])
    def stop() -> Answer:
        board.stop()
        return Answer({"running": board.running})


def _ask(supervisor: Supervisor, run_id: str, what: str) -> dict[str, str]:
    if what == "stop_now":
        supervisor.stop_now(run_id)
    else:
        supervisor.ask(run_id, what)
    return {"asked": what}


def _start(board: TensorBoard, folder: Path) -> dict[str, bool]:
    board.start(folder)
    return {"running": board.running}


def _logs(store: RunStore, run_id: str) -> Path:
    """The log folder of the run's settings, or the place where runs lie."""
    settings = store.settings(run_id) if run_id else {}
    return Path(settings.get("logging_dir") or store.root).resolve()


def _showing_board(routes: APIRouter, board: TensorBoard) -> None:
    """TensorBoard through the app, so that it needs neither a port of its own in the open nor a login of its own."""

    @routes.api_route(PREFIX.removeprefix("/live") + "/{path:path}", methods=["GET", "POST"])
    async def show(path: str, request: Request) -> Response:
        if not board.running:
            raise HTTPException(404, "TensorBoard is not running; start it on the page.")
        async with httpx.AsyncClient(timeout=60) as client:
            try:
                found = await client.request(
                    request.method, f"{board.address}/{path}", params=request.query_params,
                    content=await request.body(),
                    headers={"content-type": request.headers.get("content-type", "application/json")},
                )  # fmt: skip
            except (httpx.HTTPError, asyncio.TimeoutError) as error:
                raise HTTPException(502, "TensorBoard does not answer; stop it and start it again.") from error
        headers = {name: value for name, value in found.headers.items() if name.lower() not in HOP_HEADERS}
        return Response(found.content, found.status_code, headers)
