"""The page that shows how the app is served and what the machine is, and on which the app is told what to do."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from html import escape
from importlib import metadata
from pathlib import Path

import gradio as gr

from sd_scripts.config import toml
from sd_scripts.errors import UserError

from . import access, notes, presets, texts
from .options import Options
from .preferences import BadPreferences, PreferenceFile, Preferences, as_paths, folders
from .runs.supervisor import ROOT, Supervisor
from .texts import t
from .users import Users
from .wires import QUICK

DEMO = "demo"
PACKAGES = ("gradio", "torch", "diffusers", "transformers", "accelerate", "bitsandbytes", "xformers", "tensorboard")
DOCTOR_SECONDS = 60
TEXTS = ("As the system", "Light", "Dark", "Start", "Stop", "Open", "running", "not running")


@dataclass
class SettingsDesk:
    """What the handlers of the page need."""

    options: Options
    file: PreferenceFile
    supervisor: Supervisor
    preset_root: Path
    now: Preferences = field(default_factory=Preferences)

    def apply(self) -> None:
        """What was chosen holds from now on. Raises BadPreferences, BadToml."""
        self.now = self.file.read()
        others = self.options.for_others
        more = self.options.allow if others else (*self.options.allow, *as_paths(self.now.allow))
        rules = access.Rules.in_the_open if others else access.Rules.at_home
        access.use(rules([*more, self.options.runs]).without(self.options.state))
        self.supervisor.resume_lost = self.now.resume_lost or self.options.resume_lost

    def save(self, preset: str, resume_lost: bool) -> str:
        chosen = replace(self.now, resume_lost=bool(resume_lost), preset="" if preset == DEMO else str(preset))
        more = t("What the form opens with counts for new visitors from the next start on.")
        return self._saved(lambda: chosen, more)

    def open_folders(self, lines: str) -> tuple[str, str]:
        """What to say, and what is open now."""
        return self._saved(lambda: replace(self.now, allow=folders(lines)), ""), self.rights()

    def _saved(self, chosen: Callable[[], Preferences], more: str) -> str:
        try:
            self._keep(chosen())
        except UserError as error:
            return notes.sentence(str(error))
        return notes.sentence(" ".join(filter(None, [t("Saved."), more])), "quiet")

    def _keep(self, chosen: Preferences) -> None:
        if self.options.for_others and chosen.allow != self.now.allow:
            raise BadPreferences("Others use the app too, so folders are only allowed with --allow at its start.")
        self.file.write(chosen)
        self.apply()

    def allow(self, place: str) -> str:
        """Opens the folder that a field names to the app, and says which it is. Raises UserError."""
        found = folders(place)
        self._keep(replace(self.now, allow=tuple(dict.fromkeys((*self.now.allow, *found)))))
        return ", ".join(found)

    def presets(self) -> list[str]:
        return list(presets.available(self.preset_root, "lora"))

    def about(self) -> str:
        """How the app is served, and with what."""
        options = self.options
        who = t("everyone who can reach the page") if options.reachable else t("programs of this machine")
        facts = {
            t("Version"): _version(),
            t("Address"): f"{options.listen}:{options.server_port}{options.root_path or ''}",
            t("Let in"): t("those who sign in") if options.asks else who,
            t("Program"): str(ROOT),
            t("Runs"): str(options.runs),
            t("Settings of the app"): str(options.state),
            "Python": platform.python_version(),
            **_versions(),
        }
        return _list(facts)

    def rights(self) -> str:
        """Names of users, and the folders that are open."""
        rules = access.rules()
        facts = {
            t("May be read"): "\n".join(map(str, rules.readable)),
            t("May be written"): "\n".join(map(str, rules.writable)),
        }
        if self.options.users:
            facts = {t("Users"): ", ".join(Users(self.options.users).names()), **facts}
        elif self.options.username:
            facts = {t("Users"): self.options.username, **facts}
        return _list(facts)

    def opened(self) -> tuple[str, str]:
        """For a visitor who has just come: folders may have been allowed on another page since the start."""
        return self.rights(), "\n".join(self.now.allow)


def machine() -> str:
    """The report of setup/doctor.py, which runs by itself, so that nothing heavy is imported here."""
    try:
        made = subprocess.run(
            [sys.executable, "-m", "setup.doctor"], cwd=ROOT, capture_output=True, text=True, timeout=DOCTOR_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return notes.sentence(f"The machine could not be looked at ({error}); run `python -m setup.doctor` to see why.")
    return f'<pre class="report" tabindex="0">{escape((made.stdout or made.stderr).strip())}</pre>'


def _version() -> str:
    return str(toml.read(ROOT / "pyproject.toml")["project"]["version"])


def _versions() -> dict[str, str]:
    """Of what is installed, without importing it."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = t("not installed")
    return found


def _list(facts: Mapping[str, str]) -> str:
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value).replace(chr(10), '<br>')}</dd></div>"
        for name, value in facts.items()
    )
    return f'<dl class="facts">{rows}</dl>'


def build(desk: SettingsDesk) -> None:
    """Puts the page into the Blocks that are being built."""
    with gr.Column(elem_id="settings"):
        with gr.Column(elem_classes="card"):
            gr.HTML(f"<h2>{t('This browser')}</h2>{_browser()}")
        _training(desk)
        _access(desk)
        with gr.Column(elem_classes="card"):
            gr.HTML(
                f'<h2>TensorBoard</h2><p class="quiet">{t("Curves of every run, drawn by a program of their own.")}</p>'
                '<div id="settings-board"></div>'
            )
        with gr.Column(elem_classes="card"):
            gr.HTML(f"<h2>{t('This app')}</h2>")
            gr.context.Context.root_block.load(desk.about, None, gr.HTML(elem_id="settings-about"), **QUICK)
        with gr.Column(elem_classes="card"):
            gr.HTML(f"<h2>{t('This machine')}</h2>")
            report = gr.HTML(notes.sentence(t("Looking at the machine …"), "quiet"), elem_id="settings-machine")
            look = gr.Button(t("Look again"), size="md", elem_id="look-again")
            gr.context.Context.root_block.load(machine, None, report, **QUICK)
            look.click(machine, None, report, **QUICK)


def _training(desk: SettingsDesk) -> None:
    now, names = desk.now, desk.presets()
    with gr.Column(elem_classes="card"):
        gr.HTML(f"<h2>{t('Training')}</h2>")
        with gr.Column(elem_classes="fields"):
            preset = gr.Dropdown(
                names,
                value=now.preset if now.preset in names else DEMO,
                label=t("The form opens with"),
                info=t("The preset that someone finds who opens the page for the first time."),
                elem_id="settings-preset",
            )
            resume = gr.Checkbox(
                now.resume_lost,
                label=t("Go on with runs that were cut off"),
                info=t("After a power loss or a restart of the machine such runs go on by themselves."),
                elem_id="settings-resume",
            )
        save = gr.Button(t("Save settings"), variant="primary", elem_id="save-settings")
        save.click(desk.save, [preset, resume], gr.HTML(elem_id="settings-saved"), trigger_mode="always_last", **QUICK)


def _access(desk: SettingsDesk) -> None:
    with gr.Column(elem_classes="card"):
        gr.HTML(f"<h2>{t('Folders that the app may use')}</h2>")
        rights = gr.HTML(elem_id="settings-rights")
        shown = not desk.options.for_others
        with gr.Column(elem_classes="fields", visible=shown):
            more = gr.Textbox(
                lines=2,
                max_lines=8,
                label=t("Folders to use besides"),
                info=t("One a line: models and images there may be read, and results written."),
                elem_id="settings-allow",
                elem_classes="wide",
            )
        save = gr.Button(t("Allow these folders"), variant="primary", elem_id="save-allow", visible=shown)
        saved = gr.HTML(elem_id="settings-allowed")
        # What the page opens with may arrive after something was typed or saved, which then stays.
        opened = [gr.Textbox(visible=False), gr.Textbox(visible=False)]
        came = gr.context.Context.root_block.load(desk.opened, None, opened, **QUICK)
        newer = "(rights, lines, shown, typed) => [shown || rights, typed || lines]"
        came.then(None, [*opened, rights, more], [rights, more], js=newer)
        save.click(desk.open_folders, more, [saved, rights], trigger_mode="always_last", **QUICK)


def _browser() -> str:
    languages = "".join(
        f'<option value="{code}" lang="{code}">{name}</option>' for code, name in texts.LANGUAGES.items()
    )
    shades = (("", t("As the system")), ("0", t("Light")), ("1", t("Dark")))
    colours = "".join(f'<option value="{value}">{words}</option>' for value, words in shades)
    return (
        f'<div class="pair"><label for="set-language">{t("Language")}</label>'
        f'<select id="set-language" data-language>{languages}</select></div>'
        f'<div class="pair"><label for="set-colours">{t("Colours")}</label>'
        f'<select id="set-colours">{colours}</select></div>'
    )
