"""The web app: its pages and what stands around them, built and served."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from sd_scripts.tools import TOOLS

from . import (
    api,
    dataset_page,
    live,
    login,
    places,
    plan_details,
    presets,
    runs_page,
    settings_page,
    texts,
    theme,
    tool_page,
    train_page,
)
from .delivery import Delivery
from .guard import Guard
from .login import Door
from .options import Options
from .preferences import PreferenceFile, Preferences
from .runs.store import RunStore
from .runs.supervisor import ENGINE, ROOT, Supervisor
from .settings_page import SettingsDesk
from .tensorboard import TensorBoard
from .users import Users

TITLE = "LoRA Studio"
PRESETS = ROOT / "presets"
DEMO = PRESETS / "lora" / "demo.json"
LARGEST_UPLOAD = "64mb"
UPLOADS_STAY = (3600, 24 * 3600)
"""How often is looked for what visitors sent to Gradio's own fields, and how old it may become, both in seconds."""


@dataclass
class Parts:
    """What the pages stand on."""

    supervisor: Supervisor
    board: TensorBoard
    train: train_page.TrainPage
    settings: SettingsDesk


def opening(options: Options, chosen: Preferences | None = None) -> presets.Preset:
    """What the form shows at first: the settings of the configuration file, the preset that was chosen, or the demo."""
    if options.settings is not None:
        return presets.checked("", "The settings of the configuration file.", options.settings)
    file = presets.available(PRESETS, "lora").get(chosen.preset if chosen else "", DEMO)
    return presets.read(file) if file.is_file() else presets.Preset("", "", {})


def parts(options: Options, engine: Sequence[str] = ENGINE) -> Parts:
    supervisor = Supervisor(RunStore(options.runs), engine)
    desk = SettingsDesk(options, PreferenceFile(options.state / "settings.toml"), supervisor, PRESETS)
    desk.apply()
    train = train_page.TrainPage(supervisor, PRESETS, opening(options, desk.now), options.settings is not None)
    return Parts(supervisor, TensorBoard(), train, desk)


def build(made: Parts) -> gr.Blocks:
    """All pages in one context: Gradio builds its whole server whenever it leaves one, as it does for every
    `with page.route(...)`."""
    page = gr.Blocks(title=TITLE, fill_width=True, analytics_enabled=False, delete_cache=UPLOADS_STAY)
    fillings = _pages(made)
    for path in fillings:
        if path:
            page.route(theme.PAGES[path], f"/{path}")
    with texts.building(), page:
        for path, filled in fillings.items():
            page.current_page = path
            _top(theme.header(TITLE, path, can_leave=made.settings.options.asks))
            filled()
    return page


def _pages(made: Parts) -> dict[str, Callable[[], None]]:
    """Path -> what puts that page into the Blocks that are being built."""
    return {
        "": partial(_first, made),
        "dataset": dataset_page.build,
        "runs": runs_page.build,
        "tools": partial(tool_page.build_all, TOOLS),
        "settings": partial(settings_page.build, made.settings),
    }


def _first(made: Parts) -> None:
    api.build(made.supervisor)  # before anything else takes the names
    train_page.build(made.train)


def _top(header: str) -> None:
    """Our own line of links is lighter than Gradio's, and there on a phone too."""
    gr.Navbar(visible=False, main_page_name=theme.PAGES[""])
    gr.HTML(header, elem_id="top")


def _served(made: Parts) -> dict[str, Any]:
    """Plain routes, and what stands around all of them."""
    options = made.settings.options
    heads = {path: partial(theme.head, path) for path in theme.FILES}
    routers = (
        live.router(made.supervisor.store, made.supervisor, made.board),
        dataset_page.router(),
        plan_details.router(),
        places.router(made.settings.allow),
    )
    return {
        "routes": [route for router in routers for route in router.routes],
        "middleware": [
            Middleware(Guard, any_name=options.asks or options.no_auth),
            Middleware(Delivery, heads, partial(login.page, TITLE)),
        ],
    }


def _door(options: Options) -> Door | None:
    if options.users:
        return login.several_users(Users(options.users))
    return login.one_user(options.username, options.password) if options.username and options.password else None


def serve(options: Options, engine: Sequence[str] = ENGINE) -> gr.Blocks:
    """Builds and launches the app; returns while it is being served."""
    made = parts(options, engine)
    door = _door(options)
    atexit.register(made.board.stop)
    page = build(made)
    made.supervisor.serve(resume_lost=made.supervisor.resume_lost)
    page.launch(
        server_name=options.listen,
        server_port=options.server_port,
        share=options.share,
        inbrowser=options.inbrowser and not options.headless,
        auth=door.admits if door else None,
        root_path=options.root_path,
        app_kwargs=_served(made),
        blocked_paths=[str(options.state)],
        max_file_size=LARGEST_UPLOAD,
        run_history=False,  # a browser would keep what was typed into the form, secrets too
        prevent_thread_lock=True,
        show_error=True,
        quiet=True,
        ssr_mode=False,
        footer_links=[],
        theme=theme.calm(),
        css=theme.text("style.css"),
    )
    return page
