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

    def choose(self, form: str, name: str | None, baseline: object) -> Any:
        """What the preset would change. Whoever tabs past the list chooses what is chosen already, which is not asked
        about where it would change nothing."""
        now, known = Entries.gathered(form), Baseline.read(baseline)
        file = presets.available(self.root, now.method).get(name or "")
        if file is None:
            return notes.sentence(t("Choose a preset of the list first."))
        try:
            preset = presets.read(file)
        except UserError as error:
            return notes.sentence(str(error))
        settings = {**preset.settings, layout.METHOD: now.method}
        preset = presets.Preset(str(name), preset.description, settings, preset.notices)
        if name == known.name and not offers.changes_of(preset, now, known, keep=True):
            return gr.skip()
        return offers.html(preset, now, known, keep=True, own=False)

    def open(self, form: str, carried: str, baseline: object) -> str:
        """carried: a file that the visitor's browser has read, as JSON: its name, and its text or its metadata."""
        now = Entries.gathered(form)
        try:
            preset = self._carried(carried)
        except UserError as error:
            return notes.sentence(str(error))
        settings = {layout.METHOD: now.method, **preset.settings}
        preset = presets.Preset(preset.name, preset.description, settings, preset.notices)
        return offers.html(preset, now, Baseline.read(baseline), keep=False, own=True)

    def _carried(self, carried: str) -> presets.Preset:
        if len(carried) > 2 * LARGEST_TEXT:
            raise presets.BadPreset("The file is larger than a preset can be; choose a JSON or TOML file of settings.")
        file = json.loads(carried)
        name = Path(str(file.get("name") or "file")).name
        if isinstance(file.get("metadata"), dict):
            return presets.from_trained_file(name, {str(key): str(text) for key, text in file["metadata"].items()})
        return presets.from_text(name, str(file.get("text") or ""))

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
    """choice, said: the list and what a preset would do. carried: what a browser and the app hand to each other."""

    choice: gr.Dropdown
    said: gr.HTML
    opened: gr.Button
    carried: gr.Textbox
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
        opened = gr.Button("Open", elem_id="opened", elem_classes="unseen")
        carried = gr.Textbox(visible=False)
    return Bar(choice, said, opened, carried, name, description, replace, save, as_json, as_toml, saved)


OPENS_TEXTS = (
    "A preset of this program or of kohya_ss (.json), a .toml, or a trained .safetensors as a new run",
    "Open file",
    "File of settings",
)


def _about(opening: presets.Preset) -> str:
    """What the form opens with, and what of it could not be carried over."""
    description = notes.sentence(opening.description, "quiet") if opening.description else ""
    return description + notes.problem_list(opening.notices)


def connect(desk: PresetDesk, bar: Bar, wires: Wires, baseline: gr.BrowserState) -> None:
    wires.fresh(bar.choice.input, desk.choose, [bar.choice, baseline], bar.said)
    read = bar.opened.click(None, None, bar.carried, js="() => window.trainForm.carried()")
    wires.fresh(read.then, desk.open, [bar.carried, baseline], bar.said)
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
    method.change(None, bar.said, bar.said, js="(said) => said?.includes('offer-cancel') ? '' : said", **QUICK)
