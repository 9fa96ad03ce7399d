"""The page on which a run is set up, started and watched. One function builds it for every method."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from sd_scripts import plan
from sd_scripts.config import load
from sd_scripts.config.schema import Parameter, Problem
from sd_scripts.errors import UserError

from . import changes, command, form_bar, layout, marks, notes, offers, plan_view, preset_bar, presets, values
from .entries import Entries
from .form import method_choice, widget
from .offers import Baseline
from .preset_bar import PresetDesk
from .runs.supervisor import Supervisor
from .texts import t
from .wires import QUICK, Wires

FORM_KEY, BASELINE_KEY = "kohya-gui-form", "kohya-gui-baseline"


@dataclass
class TrainPage:
    """What the handlers of the page share; nothing of a visitor is kept in it."""

    supervisor: Supervisor
    preset_root: Path
    opening: presets.Preset
    opening_is_own: bool = False
    _planning: threading.Lock = field(default_factory=threading.Lock)

    @property
    def desk(self) -> PresetDesk:
        return PresetDesk(self.preset_root)

    @property
    def baseline(self) -> Baseline:
        return Baseline(self.opening.name, self.opening.settings, self.opening_is_own)

    # What the page asks for.

    def check(self, form: str, baseline: object) -> tuple[str, str, dict[str, object]]:
        """Marks, list of problems, and the form to restore after a reload."""
        now = Entries.gathered(form)
        return *self.judged(now, Baseline.read(baseline)), self.stored(now)

    def stored(self, now: Entries) -> dict[str, object]:
        """The form as the browser keeps it, until the app opens with other settings than it did."""
        return {"settings": now.kept, "opened_with": self.opening.settings}

    def judged(self, now: Entries, baseline: Baseline) -> tuple[str, str]:
        return marks.html(marks.of(now, baseline.settings)), notes.problem_list(now.loaded.problems)

    def plan(self, form: str) -> str:
        """One plan at a time: a large folder takes seconds to look through."""
        config = Entries.gathered(form).config
        if config is None:
            return notes.sentence(t("The plan is shown when the settings are right."), "quiet")
        try:
            with self._planning:
                return plan_view.card(config, self.supervisor.store.root)
        except UserError as error:
            return notes.sentence(str(error))

    def start(self, form: str) -> tuple[str, str]:
        """What to say, and the id of the run that was started or queued first. What is wrong with the form is said by
        `check`, whose answer may be to a newer form than this one."""
        now = Entries.gathered(form)
        if now.config is None:
            return notes.sentence(t("Nothing was started: see above what has to be put right first.")), ""
        try:
            stopping = [problem for problem in plan.make(now.config).problems if problem.stops]
            if stopping:
                return notes.problem_list(stopping), ""
            said, run = self._started(now)
        except UserError as error:
            return notes.sentence(str(error)), ""
        return notes.sentence(said, "quiet"), run

    def _started(self, now: Entries) -> tuple[str, str]:
        assert now.config is not None
        name = now.config.saving.stem
        if not now.swept:
            run = self.supervisor.enqueue(name, load.to_flat(now.config), now.environment)
            return self.supervisor.words_of(run), run
        runs = self.supervisor.start_sweep(str(now.flat.get("output_name") or "last"), now.flat, now.environment)
        return t("{count} runs are in the queue.", count=len(runs)), runs[0]

    def command(self, form: str) -> Any:
        """One line for each run that a start would make."""
        now = Entries.gathered(form)
        if now.config is None:
            return gr.update(value="", visible=True, placeholder=t("There is a command once the settings are right."))
        configs = [load.from_flat({**flat, **now.secrets}).unwrap() for flat in now.runs]
        return gr.update(value="\n".join(command.line(load.to_flat(config)) for config in configs), visible=True)

    def printed(self, form: str) -> tuple[Any, str]:
        """The commands, and the form that they are of."""
        return self.command(form), form

    def restore(self, stored: object, baseline: object, run: str) -> str:
        """The form as this browser left it, or that of a run whose id stands in the address: what the script is to put
        into the page as it was sent. "" where the page is as it should be."""
        kept = _restorable(stored) if _opened_with(stored) == self.opening.settings else None
        known = Baseline.read(baseline) if kept is not None else self.baseline
        settings = self.opening.settings if kept is None else kept
        if not run:
            return self._filling(settings, known, None)
        try:
            found = presets.checked(run, "", self.supervisor.store.settings(run)).settings
        except UserError as error:
            return self._filling(settings, known, notes.sentence(str(error)))
        mine = {key: value for key, value in found.items() if key in layout.fields()}
        said = notes.sentence(t("The settings of the run {run} are in the form.", run=run), "quiet")
        back = offers.undo(Entries.of(mine), Entries.of(settings), known)
        return self._filling(mine, Baseline(run, mine, own=True), said + back)

    def _filling(self, settings: Mapping[str, object], baseline: Baseline, said: str | None) -> str:
        made = changes.between(Entries.of(self.opening.settings), Entries.of(settings))
        values = {change.parameter.key: change.new for change in made}
        return json.dumps({"values": values, "baseline": baseline.as_dict(), "said": said})


def _opened_with(stored: object) -> object:
    return stored.get("opened_with") if isinstance(stored, dict) else None


def _restorable(stored: object) -> dict[str, object]:
    """A text may be wrong and is shown as it was typed; a choice must be one that there still is."""
    settings = stored.get("settings") if isinstance(stored, dict) else None
    if not isinstance(settings, dict):
        return {}
    return {key: value for key, value in settings.items() if _fits(layout.fields().get(key), value)}


def _fits(parameter: Parameter | None, value: object) -> bool:
    if parameter is None:
        return False
    if parameter.kind in ("choice", "bool"):
        return not isinstance(values.typed(parameter, value), Problem)
    return isinstance(value, str | int | float | list | None)


@dataclass
class Side:
    marks: gr.HTML
    plan: gr.HTML
    problems: gr.HTML
    start: gr.Button
    print: gr.Button
    said: gr.HTML
    command: gr.Textbox
    run_id: gr.Textbox
    printed: gr.Textbox


def build(train: TrainPage) -> None:
    """Puts the page into the Blocks that are being built."""
    form = gr.BrowserState(storage_key=FORM_KEY, secret="not a secret")  # noqa: S106
    baseline = gr.BrowserState(storage_key=BASELINE_KEY, secret="not a secret")  # noqa: S106
    opening = Entries.of(train.opening.settings)
    with gr.Row(elem_id="columns"):
        with gr.Column(elem_id="form-column", scale=11, min_width=320):
            method = method_choice(opening.shown[layout.METHOD])
            bar = preset_bar.build(train.desk, opening.method, train.opening)
            form_bar.build()
            wires = Wires([method, *_form(opening)])
            gr.HTML('<div id="help-line" aria-live="polite"></div>', elem_id="help-part", padding=False)
        with gr.Column(elem_id="run-column", scale=10, min_width=320):
            side = _side(train, opening)
    _connect(train, bar, wires, side, (form, baseline))


def _form(opening: Entries) -> list[Component]:
    """The widgets in the order of `layout.shown_parameters`, but for the method."""
    made: list[Component] = []
    for section in layout.sections():
        with gr.Column(elem_id=f"g-{section.name}", elem_classes="card section"):
            if section.basic:
                gr.HTML(f"<h2>{section.title}</h2>")
                made += _fields(opening, section.basic)
            if section.more:
                made += _closed(f"more-{section.name}", _more(section), opening, section.more)
            if section.blocks:
                made += _blocks(f"blocks-{section.name}", opening, section.blocks)
    return made


def _more(section: layout.Section) -> str:
    count = len(section.more)
    if section.basic:
        return t("More about {section} ({count})", section=section.title, count=count)
    return t("{section} ({count})", section=section.title, count=count)


def _closed(element: str, title: str, opening: Entries, members: tuple[Parameter, ...]) -> list[Component]:
    with gr.Accordion(title, open=False, elem_id=element, elem_classes="more"):
        return _fields(opening, members)


def _blocks(element: str, opening: Entries, members: tuple[Parameter, ...]) -> list[Component]:
    """The picture is drawn by the page's script, which writes into the same fields."""
    with gr.Accordion(t("Blocks of the U-Net"), open=False, elem_id=element, elem_classes="more"):
        gr.HTML('<div id="blocks"></div>', elem_id="blocks-part", padding=False)
        return _fields(opening, members)


def _fields(opening: Entries, members: tuple[Parameter, ...]) -> list[Component]:
    with gr.Column(elem_classes="fields"):
        return [widget(p, opening.settings.get(p.key, p.default)) for p in members]


def _side(train: TrainPage, opening: Entries) -> Side:
    marks_html, problem_text = train.judged(opening, train.baseline)
    shown = gr.HTML(marks_html, elem_id="form-style")
    with gr.Column(elem_id="start-card", elem_classes="card"):
        plan_html = gr.HTML(notes.sentence(t("Planning …"), "quiet"), elem_id="plan")
        problems = gr.HTML(problem_text, elem_id="problems")
        with gr.Row():
            start = gr.Button(t("Start"), variant="primary", elem_id="start", scale=2)
            printer = gr.Button(t("Print command"), elem_id="print-command", scale=1)
        said = gr.HTML(elem_id="start-said")
        line = gr.Textbox(
            label=t("Command"),
            visible=False,
            elem_id="command",
            lines=3,
            max_lines=12,
            buttons=["copy"],
            interactive=False,
        )
    run_id = gr.Textbox(visible=False, elem_id="run-id")
    gr.HTML('<div id="live" aria-live="off"></div>', elem_id="live-card")
    return Side(shown, plan_html, problems, start, printer, said, line, run_id, gr.Textbox(visible=False))


def _connect(
    train: TrainPage, bar: preset_bar.Bar, wires: Wires, side: Side, kept: tuple[gr.BrowserState, gr.BrowserState]
) -> None:
    form, baseline = kept
    judged = [side.marks, side.problems]
    wires.connect_gathering()
    wires.connect_putting(bar.choice, bar.said, baseline)
    preset_bar.connect(train.desk, bar, wires, baseline)
    checked = wires.check.click(
        train.check, [wires.form, baseline], [*judged, form], trigger_mode="always_last", **QUICK
    )
    checked.then(train.plan, wires.form, side.plan, trigger_mode="always_last", **QUICK)
    printed = wires.fresh(side.print.click, train.printed, [], [side.command, side.printed], trigger_mode="always_last")
    printed.then(None, side.printed, None, js="(form) => window.trainForm.printed(form)")
    started = wires.fresh(side.start.click, train.start, [], [side.said, side.run_id])
    started.then(None, side.run_id, None, js="(id) => window.trainForm.started(id)")
    here = gr.context.Context.root_block
    asked = "(form, baseline) => [form, baseline, window.trainForm?.runAsked() ?? '']"
    opened = here.load(train.restore, [form, baseline, side.run_id], bar.carried, js=asked, **QUICK)
    opened.then(None, bar.carried, None, js="(text) => window.trainForm.restore(text)")
