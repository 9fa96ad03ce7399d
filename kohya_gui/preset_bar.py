"""The top of the form: choose a preset or open a file, see what it would change, apply it, save and export."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from sd_scripts.config import toml
from sd_scripts.errors import UserError

from . import layout, notes, offers, presets
from .entries import Entries
from .offers import Baseline
from .texts import t
from .wires import QUICK, Wires

LARGEST_TEXT = presets.LARGEST_BYTES
KINDS = ".json,.toml,.safetensors"


@dataclass(frozen=True)
class PresetDesk:
    """What the handlers need; nothing of a visitor is kept in it."""

    root: Path

    def names(self, method: str) -> list[str]:
        return list(presets.available(self.root, method))

    def offered(self, method: str, baseline: object) -> Any:
        """The list for a method that was just chosen."""
        names, loaded = self.names(method), Baseline.read(baseline)
        is_its = loaded.name in names and not loaded.own and Entries.of(loaded.settings).method == method
        return gr.update(choices=names, value=loaded.name if is_its else None)

    def offer(self, form: str, carried: str, baseline: object) -> str:
        """What an offer would do to the form, as JSON with the number of the question, so that the page can tell which
        of its questions is answered.

        carried: JSON of `number` and what is asked for: `preset`, one of the list, or `name` and `text` or `metadata`
        of a file that the visitor's browser has read; `keep`, whether what the visitor filled in is to stay.
        """
        asked = json.loads(carried)
        said = self._chosen if "preset" in asked else self._opened
        try:
            _check_size(carried)
            words = said(asked, Entries.gathered(form), Baseline.read(baseline))
        except UserError as error:
            words = notes.sentence(str(error))
        return json.dumps({"number": asked.get("number"), "said": words})

    def _chosen(self, asked: dict[str, Any], now: Entries, known: Baseline) -> str:
        """Whoever tabs past the list chooses what is chosen already, of which nothing is said if it changes nothing."""
        name = str(asked["preset"] or "")
        file = presets.available(self.root, now.method).get(name)
        if file is None:
            return notes.sentence(t("Choose a preset of the list first."))
        preset = presets.read(file)
        settings = {**preset.settings, layout.METHOD: now.method}
        preset = presets.Preset(name, preset.description, settings, preset.notices)
        if name == known.name and not offers.changes_of(preset, now, known, keep=True):
            return ""
        return offers.html(preset, now, known, keep=asked.get("keep", True), own=False)

    def _opened(self, asked: dict[str, Any], now: Entries, known: Baseline) -> str:
        preset = _of_file(asked)
        settings = {layout.METHOD: now.method, **preset.settings}
        preset = presets.Preset(preset.name, preset.description, settings, preset.notices)
        return offers.html(preset, now, known, keep=asked.get("keep", False), own=True)

    def save(self, form: str, name: str, description: str, replace: bool) -> tuple[str, Any]:
        now = Entries.gathered(form)
        try:
            file = presets.write(self.root, now.method, name, description, self._whole(now), replace=replace)
        except UserError as error:
            return notes.sentence(str(error)), gr.skip()
        said = notes.sentence(t("Saved as {file}.", file=file.name), "quiet")
        return said, gr.update(choices=self.names(now.method))

    def _whole(self, now: Entries) -> dict[str, object]:
        """With the method, which decides where the preset belongs."""
        return {layout.METHOD: now.method, **now.flat}

    def as_json(self, form: str, name: str, description: str) -> str:
        return self._download(name, "json", presets.as_json(description, self._whole(Entries.gathered(form))))

    def as_toml(self, form: str, name: str) -> str:
        return self._download(name, "toml", toml.write_flat(self._whole(Entries.gathered(form))))

    def _download(self, name: str, ending: str, text: str) -> str:
        return json.dumps({"name": f"{name.strip() or 'settings'}.{ending}", "text": text})


@dataclass
class Bar:
    """choice, said: the list and what a preset would do. carried, answer: what a browser and the app hand to each
    other."""

    choice: gr.Dropdown
    said: gr.HTML
    ask: gr.Button
    carried: gr.Textbox
    answer: gr.Textbox
    name: gr.Textbox
    description: gr.Textbox
    replace: gr.Checkbox
    save: gr.Button
    json: gr.Button
    toml: gr.Button
    saved: gr.HTML


def build(desk: PresetDesk, method: str, opening: presets.Preset) -> Bar:
    names = desk.names(method)
    with gr.Column(elem_id="preset-bar", elem_classes="card"):
        with gr.Row(elem_id="preset-row"):
            chosen = opening.name if opening.name in names else None
            choice = gr.Dropdown(names, value=chosen, label=t("Preset"), elem_id="preset", scale=4, interactive=True)
            gr.HTML(
                f'<button type="button" id="open-preset" title="{t(OPENS_TEXTS[0])}">{t(OPENS_TEXTS[1])}</button>'
                f'<input type="file" id="open-preset-file" accept="{KINDS}" aria-label="{t(OPENS_TEXTS[2])}" hidden>',
                elem_id="open-part",
                padding=False,
            )
        said = gr.HTML(_about(opening), elem_id="preset-said")
        with gr.Accordion(t("Save or export the form"), open=False, elem_id="save-part"):
            name = gr.Textbox(label=t("Name"), elem_id="preset-name", max_lines=1)
            description = gr.Textbox(label=t("Description"), elem_id="preset-description", max_lines=1)
            replace = gr.Checkbox(label=t("Replace one of the same name"), elem_id="preset-replace")
            with gr.Row(elem_id="save-row"):
                save = gr.Button(t("Save preset"), elem_id="save-preset", size="md")
                as_json = gr.Button(t("Download as JSON"), elem_id="export-json", size="md")
                as_toml = gr.Button(t("Download as TOML"), elem_id="export-toml", size="md")
            saved = gr.HTML(elem_id="preset-saved")
        ask = gr.Button("Ask", elem_id="ask-offer", elem_classes="unseen")
        carried, answer = gr.Textbox(visible=False), gr.Textbox(visible=False)
    return Bar(choice, said, ask, carried, answer, name, description, replace, save, as_json, as_toml, saved)


OPENS_TEXTS = (
    "A preset of this program or of kohya_ss (.json), a .toml, or a trained .safetensors as a new run",
    "Open file",
    "File of settings",
)


def _check_size(carried: str) -> None:
    """Raises BadPreset. What a browser carries holds a file's text or metadata, and signs are escaped in it."""
    if len(carried) > 2 * LARGEST_TEXT:
        raise presets.BadPreset("The file is larger than a preset can be; choose a JSON or TOML file of settings.")


def _of_file(asked: dict[str, Any]) -> presets.Preset:
    """As the visitor's browser has read it."""
    name = Path(str(asked.get("name") or "file")).name
    metadata = asked.get("metadata")
    if isinstance(metadata, dict):
        return presets.from_trained_file(name, {str(key): str(value) for key, value in metadata.items()})
    return presets.from_text(name, str(asked.get("text") or ""))


def _about(opening: presets.Preset) -> str:
    """What the form opens with, and what of it could not be carried over."""
    description = notes.sentence(opening.description, "quiet") if opening.description else ""
    return description + notes.problem_list(opening.notices)


def connect(desk: PresetDesk, bar: Bar, wires: Wires, baseline: gr.BrowserState) -> None:
    bar.choice.input(None, bar.choice, None, js="(name) => window.trainForm.choose(name)", **QUICK)
    asked = bar.ask.click(None, None, bar.carried, js="() => window.trainForm.asked()", trigger_mode="multiple")
    offered = wires.fresh(asked.then, desk.offer, [bar.carried, baseline], bar.answer, trigger_mode="multiple")
    offered.then(None, bar.answer, None, js="(answer) => window.trainForm.offered(answer)")
    wires.fresh(bar.save.click, desk.save, [bar.name, bar.description, bar.replace], [bar.saved, bar.choice])
    download = "(file) => { window.trainForm.download(file) }"
    for made in (
        wires.fresh(bar.json.click, desk.as_json, [bar.name, bar.description], bar.carried),
        wires.fresh(bar.toml.click, desk.as_toml, [bar.name], bar.carried),
    ):
        made.then(None, bar.carried, None, js=download)
    method = wires.widgets[0]
    method.change(desk.offered, [method, baseline], bar.choice, **QUICK)
    # What was offered for the method before would not fit; whatever else stands there stays.
    method.change(None, bar.said, bar.said, js="(said) => window.trainForm.withoutOffer(said)", **QUICK)
