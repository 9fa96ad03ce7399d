"""The page on which a run is set up, started and watched. One function builds it for every method."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from sd_scripts import plan
from sd_scripts.config import load
from sd_scripts.config.schema import Notice, Parameter, Problem
from sd_scripts.errors import UserError
from sd_scripts.training.launch import SECRETS

from . import command, notes, presets, values, visible
from .form import widget
from .layout import Page, Section, sections, shown_parameters
from .runs.supervisor import Supervisor

STORAGE_KEY = "kohya-gui-form"


@dataclass
class TrainPage:
    """What the handlers of one page share; nothing of a visitor is kept in it."""

    page: Page
    supervisor: Supervisor
    preset_root: Path
    opening: presets.Preset
    _planning: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def sections(self) -> list[Section]:
        return sections(self.page)

    @cached_property
    def parameters(self) -> list[Parameter]:
        return shown_parameters(self.page)

    def flat(self, given: tuple[Any, ...]) -> dict[str, object]:
        """Settings that differ from their defaults, without secrets."""
        method = {} if self.page.method == load.parameters()["method"].default else {"method": self.page.method}
        return {**method, **values.settings(self.parameters, given)}

    def loaded(self, given: tuple[Any, ...]) -> load.Loaded:
        return load.from_flat({**self.flat(given), **values.secrets(self.parameters, given)})

    # What the page asks for.

    def check(self, *given: Any) -> tuple[str, str, str, dict[str, object]]:
        """Style sheet, list of problems, no more words on the last start, and the form to restore after a reload."""
        flat = self.flat(given)
        return *self.judged(flat, self.loaded(given)), "", self.stored(flat)

    def stored(self, flat: Mapping[str, object]) -> dict[str, object]:
        """The form as the browser keeps it, until the app opens with other settings than it did."""
        return {"settings": dict(flat), "opened_with": self.opening.settings}

    def judged(self, flat: Mapping[str, object], loaded: load.Loaded) -> tuple[str, str]:
        hidden = visible.without_effect(self.parameters, flat, loaded.config)
        empty, shortened = visible.hidden_sections(self.sections, hidden)
        return notes.stylesheet(hidden, empty, shortened, loaded.problems), notes.problem_list(loaded.problems)

    def plan(self, *given: Any) -> str:
        """One plan at a time: a large folder takes seconds to look through."""
        config = self.loaded(given).config
        if config is None:
            return notes.sentence("The plan is shown when the settings are right.", "quiet")
        try:
            with self._planning:
                made = plan.make(config)
        except UserError as error:
            return notes.sentence(str(error))
        return notes.plan_card(made)

    def start(self, *given: Any) -> tuple[str, str, str, str]:
        """Style sheet, list of problems, what else to say, and the id of the run that was started."""
        loaded = self.loaded(given)
        judged = self.judged(self.flat(given), loaded)
        if loaded.config is None:
            return *judged, notes.sentence("Nothing was started: see above what has to be put right first."), ""
        typed_in = values.secrets(self.parameters, given)
        environment = {SECRETS.get(key, key.upper()): secret for key, secret in typed_in.items()}
        try:
            stopping = [problem for problem in plan.make(loaded.config).problems if problem.stops]
            if stopping:
                return *judged, notes.problem_list(stopping), ""
            run_id = self.supervisor.start(loaded.config.saving.stem, load.to_flat(loaded.config), environment)
            return *judged, "", run_id
        except UserError as error:
            return *judged, notes.sentence(str(error)), ""

    def command(self, *given: Any) -> Any:
        loaded = self.loaded(given)
        if loaded.config is None:
            return gr.update(value="", visible=True, placeholder="There is a command once the settings are right.")
        return gr.update(value=command.line(load.to_flat(loaded.config)), visible=True)

    def filled(self, preset: presets.Preset) -> list[Any]:
        """Every widget, style sheet, problems, stored form, description: the preset replaces the whole form."""
        shown = values.widget_values(self.parameters, preset.settings)
        flat = self.flat(tuple(shown))
        return [*shown, *self.judged(flat, load.from_flat(flat)), self.stored(flat), self.about(preset)]

    def _elsewhere(self, settings: Mapping[str, object]) -> Iterator[Notice]:
        """What a preset sets that this page has no field for."""
        fields = {parameter.key for parameter in self.parameters}
        for key, value in settings.items():
            if key == "method" and value != self.page.method:
                yield Notice(key, f"The preset is for {value}; this page trains {self.page.method}.")
            elif key not in fields and key != "method":
                yield Notice(key, "The app chooses it for each run; the preset's value was left out.")

    def about(self, preset: presets.Preset) -> str:
        """What a preset is for, and what of it could not be carried over."""
        description = notes.sentence(preset.description, "quiet") if preset.description else ""
        return description + notes.problem_list([*preset.notices, *self._elsewhere(preset.settings)])

    def load_preset(self, name: str) -> list[Any]:
        file = presets.available(self.preset_root, self.page.presets).get(name)
        if file is None:
            return self._unchanged("Choose a preset of the list first.")
        return self.load_file(str(file))

    def load_file(self, file: str) -> list[Any]:
        try:
            return self.filled(presets.read(Path(file)))
        except UserError as error:
            return self._unchanged(str(error))

    def _unchanged(self, why: str) -> list[Any]:
        return [*[gr.skip()] * (len(self.parameters) + 3), notes.sentence(why)]

    def save_preset(self, name: str, description: str, replace: bool, *given: Any) -> tuple[str, Any]:
        try:
            file = presets.write(
                self.preset_root, self.page.presets, name, description, self.flat(given), replace=replace
            )
        except UserError as error:
            return notes.sentence(str(error)), gr.skip()
        return notes.sentence(f"Saved as {file.name}.", "quiet"), gr.update(choices=self.preset_names())

    def preset_names(self) -> list[str]:
        return list(presets.available(self.preset_root, self.page.presets))

    def restore(self, stored: object) -> list[Any]:
        """The form as this browser left it; only widgets that differ from the page as it was sent are touched."""
        if not isinstance(stored, dict) or stored.get("opened_with") != self.opening.settings:
            return [gr.skip()] * (len(self.parameters) + 2)
        settings = {p.key: stored["settings"][p.key] for p in self.parameters if _restorable(p, stored.get("settings"))}
        sent = values.widget_values(self.parameters, self.opening.settings)
        wanted = values.widget_values(self.parameters, settings)
        changes = [gr.skip() if old == new else new for old, new in zip(sent, wanted, strict=True)]
        flat = self.flat(tuple(wanted))
        return [*changes, *self.judged(flat, load.from_flat(flat))]


def _restorable(parameter: Parameter, settings: object) -> bool:
    """A text may be wrong and is shown as it was typed; a choice must be one that there still is."""
    if not isinstance(settings, dict) or parameter.key not in settings:
        return False
    value = settings[parameter.key]
    if parameter.kind in ("choice", "bool"):
        return not isinstance(values.typed(parameter, value), Problem)
    return isinstance(value, str | int | float | list | None)


def build(train: TrainPage) -> None:
    """Puts the page into the Blocks that are being built."""
    store = gr.BrowserState(storage_key=STORAGE_KEY, secret="not a secret")  # noqa: S106
    with gr.Row(elem_id="columns"):
        with gr.Column(elem_id="form-column", scale=11, min_width=320):
            bar = _preset_bar(train)
            widgets = _form(train)
        with gr.Column(elem_id="run-column", scale=10, min_width=320):
            side = _side(train)
    _connect(train, bar, widgets, side, store)


@dataclass
class Bar:
    choice: gr.Dropdown
    load: gr.Button
    file: gr.UploadButton
    said: gr.HTML
    name: gr.Textbox
    description: gr.Textbox
    replace: gr.Checkbox
    save: gr.Button
    saved: gr.HTML


@dataclass
class Side:
    style: gr.HTML
    plan: gr.HTML
    problems: gr.HTML
    start: gr.Button
    print: gr.Button
    said: gr.HTML
    command: gr.Textbox
    run_id: gr.Textbox


def _preset_bar(train: TrainPage) -> Bar:
    names = train.preset_names()
    with gr.Column(elem_id="preset-bar", elem_classes="card"):
        with gr.Row(elem_id="preset-row"):
            chosen = train.opening.name if train.opening.name in names else None
            choice = gr.Dropdown(names, value=chosen, label="Preset", elem_id="preset", scale=4, interactive=True)
            load_button = gr.Button("Load", elem_id="load-preset", size="md", scale=0, min_width=80)
            file = gr.UploadButton(
                "Open file", file_types=[".json", ".toml"], elem_id="open-preset", size="md", scale=0, min_width=100
            )
        said = gr.HTML(train.about(train.opening), elem_id="preset-said")
        with gr.Accordion("Save the form as a preset", open=False, elem_id="save-part"):
            name = gr.Textbox(label="Name", elem_id="preset-name", max_lines=1)
            description = gr.Textbox(label="Description", elem_id="preset-description", max_lines=1)
            replace = gr.Checkbox(label="Replace one of the same name", elem_id="preset-replace")
            save = gr.Button("Save preset", elem_id="save-preset", size="md")
            saved = gr.HTML(elem_id="preset-saved")
    return Bar(choice, load_button, file, said, name, description, replace, save, saved)


def _form(train: TrainPage) -> list[Component]:
    """The widgets in the order of `train.parameters`."""
    made: list[Component] = []
    for section in train.sections:
        with gr.Column(elem_id=f"g-{section.name}", elem_classes="card"):
            if section.basic:
                gr.HTML(f"<h2>{section.title}</h2>")
                made += _fields(train, section.basic)
            if section.more:
                title = f"More about {section.title.lower()}" if section.basic else section.title
                with gr.Accordion(
                    f"{title} ({len(section.more)})", open=False, elem_id=f"more-{section.name}", elem_classes="more"
                ):
                    made += _fields(train, section.more)
    return made


def _fields(train: TrainPage, members: tuple[Parameter, ...]) -> list[Component]:
    with gr.Column(elem_classes="fields"):
        return [
            widget(parameter, train.opening.settings.get(parameter.key, parameter.default)) for parameter in members
        ]


def _side(train: TrainPage) -> Side:
    flat = train.flat(tuple(values.widget_values(train.parameters, train.opening.settings)))
    style_text, problem_text = train.judged(flat, load.from_flat(flat))
    style = gr.HTML(style_text, elem_id="form-style")
    with gr.Column(elem_id="start-card", elem_classes="card"):
        plan_html = gr.HTML(notes.sentence("Planning …", "quiet"), elem_id="plan")
        problems = gr.HTML(problem_text, elem_id="problems")
        with gr.Row():
            start = gr.Button("Start", variant="primary", elem_id="start", scale=2)
            printer = gr.Button("Print command", elem_id="print-command", scale=1)
        said = gr.HTML(elem_id="start-said")
        line = gr.Textbox(
            label="Command",
            visible=False,
            elem_id="command",
            lines=3,
            max_lines=12,
            buttons=["copy"],
            interactive=False,
        )
    run_id = gr.Textbox(visible=False, elem_id="run-id")
    gr.HTML('<div id="live" aria-live="off"></div>', elem_id="live-card")
    return Side(style, plan_html, problems, start, printer, said, line, run_id)


def _connect(train: TrainPage, bar: Bar, widgets: list[Component], side: Side, store: gr.BrowserState) -> None:
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    judged = [side.style, side.problems]
    filled = [*widgets, *judged, store, bar.said]

    def planned(event: Any) -> None:
        event.then(train.plan, widgets, side.plan, trigger_mode="always_last", **quick)

    edits = [w.change for w in widgets]  # `input` misses what is pasted or deleted
    planned(gr.on(edits, train.check, widgets, [*judged, side.said, store], trigger_mode="always_last", **quick))
    planned(bar.load.click(train.load_preset, bar.choice, filled, **quick))
    planned(bar.file.upload(train.load_file, bar.file, filled, **quick))
    bar.save.click(
        train.save_preset, [bar.name, bar.description, bar.replace, *widgets], [bar.saved, bar.choice], **quick
    )
    side.print.click(train.command, widgets, side.command, **quick)
    started = side.start.click(train.start, widgets, [*judged, side.said, side.run_id], trigger_mode="once", **quick)
    started.then(None, side.run_id, js="(id) => { if (id) window.live.show(id) }")
    here = gr.context.Context.root_block
    planned(here.load(train.restore, store, [*widgets, *judged], **quick))
