"""The page of a tool: its settings, a button, and what it says. One function builds it for every tool.

A tool runs as a process of its own, so that the app needs no torch and a tool that fails can't harm it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from sd_scripts.config import load
from sd_scripts.config.schema import Parameter
from sd_scripts.errors import ConfigError, UserError
from sd_scripts.tools import Tool
from sd_scripts.tools.progress import MARK
from sd_scripts.tools.tool import DONE, REFUSED, STOPPED

from . import access, command
from .form import widget
from .texts import t
from .values import given, is_default

ROOT = Path(__file__).resolve().parents[1]

GROUPS = {
    "Merge, resize and extract": (
        "merge_lora", "svd_merge_lora", "resize_lora", "extract_lora_from_models", "extract_lora_from_dylora",
    ),
    "Look into and convert files": (
        "check_lora_weights", "inspect_lora", "settings_from_file", "convert_lora", "convert_diffusers20_original_sd",
    ),
    "Pictures and captions": (
        "resize_images_to_resolution", "merge_captions_to_metadata", "merge_dd_tags_to_metadata",
        "clean_captions_and_tags",
    ),
}  # fmt: skip
"""What tools work on -> their names, in the order of the page."""

OTHERS = "Other tools"


@dataclass
class ToolPage:
    tool: Tool
    running: dict[int, subprocess.Popen[str]] = field(default_factory=dict)

    @property
    def parameters(self) -> list[Parameter]:
        """In the order of the page: what most people need, then the rest."""
        return sorted(self.tool.parameters.values(), key=lambda parameter: not parameter.ui.basic)

    def flat(self, values: tuple[Any, ...]) -> dict[str, object]:
        pairs = [(p, given(p, value)) for p, value in zip(self.parameters, values, strict=True)]
        return {p.key: value for p, value in pairs if not is_default(p, value)}

    def command(self, values: tuple[Any, ...]) -> list[str]:
        """Raises ConfigError with every problem."""
        settings, _ = self.tool.read(self.flat(values))
        plain = {p.key: load.plain(getattr(settings, p.key)) for p in self.parameters}
        outside = access.problems(self.parameters, plain)
        if outside:
            raise ConfigError(outside)
        changed = {p.key: plain[p.key] for p in self.parameters if plain[p.key] != load.plain(p.default)}
        return [sys.executable, "-m", "sd_scripts.tools", self.tool.name, *command.words(changed)]

    def run(self, *values: Any) -> Iterator[tuple[str, int]]:
        """What the tool says so far, and its process's number."""
        try:
            words = self.command(values)
        except UserError as error:
            yield "\n".join(t("Error: {line}", line=line) for line in str(error).splitlines()), 0
            return
        process = subprocess.Popen(  # noqa: S603
            words,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        self.running[process.pid] = process
        yield t("Working …"), process.pid
        said: list[str] = []
        with process:
            for line in process.stdout or ():
                if said and said[-1].startswith(MARK):
                    said.pop()
                said.append(line.rstrip())
                yield "\n".join(said), process.pid
        self.running.pop(process.pid, None)
        yield "\n".join([*said, *self._ending(process.returncode)]), 0

    @staticmethod
    def _ending(code: int) -> list[str]:
        if code in (REFUSED, STOPPED):  # the tool has said it
            return []
        if code < 0:  # before it could say anything
            return [t("Stopped.")]
        return [t("Done.") if code == DONE else t("Error: The tool ended unexpectedly; the lines above say where.")]

    def stop(self, pid: int) -> None:
        """The tool takes away what it has half written."""
        process = self.running.get(pid)
        if process:
            process.terminate()


def build_all(tools: Mapping[str, Tool]) -> None:
    """Puts all tools into the Blocks that are being built, under what they work on."""
    with gr.Column(elem_id="tools"):
        for title, members in grouped(tools).items():
            gr.HTML(f"<h2>{escape(t(title))}</h2>", elem_classes="group")
            for tool in members:
                build(tool)


def grouped(tools: Mapping[str, Tool]) -> dict[str, list[Tool]]:
    """What they work on -> the tools; those of which it is not known come last."""
    places = {name: title for title, names in GROUPS.items() for name in names}
    found: dict[str, list[Tool]] = {title: [] for title in (*GROUPS, OTHERS)}
    for tool in tools.values():
        found[places.get(tool.name, OTHERS)].append(tool)
    return {title: members for title, members in found.items() if members}


def build(tool: Tool) -> ToolPage:
    """Puts the tool into the Blocks (a tab, a column) that are being built."""
    page = ToolPage(tool)
    basic = [parameter for parameter in page.parameters if parameter.ui.basic]
    more = [parameter for parameter in page.parameters if not parameter.ui.basic]
    with gr.Column(elem_id=f"tool-{tool.name}", elem_classes="card tool"):
        gr.HTML(f"<h3>{escape(t(tool.title))}</h3><p>{escape(t(tool.help))}</p>")
        with gr.Accordion(t("Open"), open=False, elem_id=f"open-{tool.name}", elem_classes="more"):
            widgets = _fields(tool, basic)
            if more:
                with gr.Accordion(t("More ({count})", count=len(more)), open=False, elem_classes="more"):
                    widgets += _fields(tool, more)
            with gr.Row():
                start = gr.Button(t("Start"), variant="primary", elem_id=f"run-{tool.name}", scale=2)
                stop = gr.Button(t("Stop"), elem_id=f"stop-{tool.name}", scale=1)
            said = gr.Textbox(
                label=t("Result"),
                lines=3,
                max_lines=30,
                interactive=False,
                buttons=["copy"],
                elem_id=f"said-{tool.name}",
            )
    pid = gr.State(0)
    start.click(page.run, widgets, [said, pid], trigger_mode="once", concurrency_limit=2, api_visibility="private")
    stop.click(page.stop, pid, None, queue=False, api_visibility="private")
    return page


def _fields(tool: Tool, parameters: list[Parameter]) -> list[Component]:
    """Ids are made of the tool's name, because several tools have settings of one name."""
    made = []
    with gr.Column(elem_classes="fields"):
        for parameter in parameters:
            component = widget(parameter, parameter.default)
            component.elem_id = f"t-{tool.name}-{parameter.key}"
            made.append(component)
    return made
