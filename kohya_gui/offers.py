"""What applying a preset would do, shown before it is done. The browser then fills the fields by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from html import escape

from sd_scripts.config.schema import Notice, Problem

from . import changes, layout, notes
from .entries import Entries
from .presets import Preset
from .texts import t

UNITS = (
    ("pretrained_model_name_or_path", "v2", "v_parameterization", "sdxl"),
    ("vae",),
    ("train_data_dir", "reg_data_dir", "dataset_config", "in_json", "conditioning_data_dir"),
    ("output_dir",),
    ("output_name",),
    ("logging_dir",),
    ("sample_prompts",),
)
"""What is whoever's who trains, not the recipe's: model, images, places, name, prompts. Each goes or stays whole."""


@dataclass(frozen=True)
class Baseline:
    """What the form is compared with. own: its model and folders are the visitor's own, as those of a run are."""

    name: str = ""
    settings: dict[str, object] = field(default_factory=dict)
    own: bool = False

    @classmethod
    def read(cls, kept: object) -> Baseline:
        """As a browser kept it."""
        if not isinstance(kept, Mapping) or not isinstance(kept.get("settings"), dict):
            return cls()
        return cls(str(kept.get("name", "")), kept["settings"], bool(kept.get("own")))

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def mine(now: Entries, baseline: Baseline) -> list[tuple[str, ...]]:
    """The units that the visitor filled in, in contrast to those that a preset brought."""
    before = {} if baseline.own else baseline.settings
    return [
        unit
        for unit in UNITS
        if any(key in now.settings and now.settings[key] != before.get(key) for key in unit)
    ]  # fmt: skip


def applied(preset: Preset, now: Entries, baseline: Baseline, *, keep: bool) -> dict[str, object]:
    """The form's settings after the preset: its own and nothing else, but what is the visitor's stays where the preset
    names none; with `keep`, where it does too."""
    settings = {key: value for key, value in preset.settings.items() if key in layout.fields()}
    for unit in mine(now, baseline):
        if keep or not any(key in settings for key in unit):
            settings = {key: value for key, value in settings.items() if key not in unit}
            settings |= {key: now.settings[key] for key in unit if key in now.settings}
    return settings


def named(preset: Preset, now: Entries, baseline: Baseline) -> list[str]:
    """Labels of what both the visitor and the preset name."""
    both = [unit for unit in mine(now, baseline) if any(key in preset.settings for key in unit)]
    return [t(layout.fields()[unit[0]].label) for unit in both]


def html(preset: Preset, now: Entries, baseline: Baseline, *, keep: bool, own: bool) -> str:
    """keep: how the tick stands at first. own: whether the preset's folders are the visitor's, as in an old run."""
    new = Baseline(preset.name, preset.settings, own)
    both = named(preset, now, baseline)
    variants = [True, False] if both else [False]
    shown = "".join(_variant(preset, now, baseline, kept) for kept in variants)
    tick = _tick(both, keep) if both else ""
    said = notes.sentence(t(preset.description), "quiet") if preset.description else ""
    buttons = (
        f'<div class="buttons"><button type="button" id="offer-apply">{t("Apply")}</button>'
        f'<button type="button" id="offer-cancel">{t("Cancel")}</button></div>'
    )
    return (
        f'<section class="offer" role="status" data-keep="{int(keep and bool(both))}" '
        f'data-name="{escape(preset.name)}" '
        f'data-baseline="{escape(json.dumps(new.as_dict()))}"><h3>{escape(preset.name)}</h3>'
        f"{said}{notes.problem_list([*preset.notices, *_nowhere(preset)])}{tick}{shown}{buttons}</section>"
    )


def _nowhere(preset: Preset) -> list[Problem]:
    """What a preset sets that the page has no field for."""
    return [
        Notice(key, "The app chooses it for each run; the preset's value was left out.")
        for key in preset.settings
        if key not in layout.fields()
    ]


def _tick(both: list[str], keep: bool) -> str:
    words = t("Keep what I have filled in: {fields}", fields=", ".join(both))
    checked = " checked" if keep else ""
    return f'<label class="keep"><input type="checkbox" id="offer-keep"{checked}><span>{escape(words)}</span></label>'


def changes_of(preset: Preset, now: Entries, baseline: Baseline, *, keep: bool) -> list[changes.Change]:
    return changes.between(now, Entries.of(applied(preset, now, baseline, keep=keep)))


def _variant(preset: Preset, now: Entries, baseline: Baseline, keep: bool) -> str:
    made = changes_of(preset, now, baseline, keep=keep)
    values = {change.parameter.key: change.new for change in made}
    count = len(made)
    said = t("It changes {count} settings.", count=count) if count > 1 else t("It changes one setting.")
    body = f"<p>{said}</p>{changes.table(made)}" if made else f"<p>{t('The form holds these settings already.')}</p>"
    return f'<div class="variant" data-keep="{int(keep)}" data-values="{escape(json.dumps(values))}">{body}</div>'


def undo(now: Entries, then: Entries, baseline: Baseline) -> str:
    """A button that puts the form back to what it was."""
    made = {change.parameter.key: change.new for change in changes.between(now, then)}
    if not made:
        return ""
    data = f'data-values="{escape(json.dumps(made))}" data-baseline="{escape(json.dumps(baseline.as_dict()))}"'
    return f'<div class="buttons"><button type="button" class="offer-undo" {data}>{t("Undo")}</button></div>'
