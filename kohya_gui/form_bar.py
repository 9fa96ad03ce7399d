"""The line above the fields: search, what was changed, help. The page's script gives it life."""

from __future__ import annotations

import json
from html import escape
from typing import Any

import gradio as gr

from . import layout, values

BAR = """<div id="form-bar" role="search">
<input id="search" type="search" placeholder="Search settings" aria-label="Search settings" autocomplete="off"
 role="combobox" aria-expanded="false" aria-controls="search-results" title="Press / to search">
<ul id="search-results" role="listbox" aria-label="Settings found" hidden></ul>
<button type="button" id="toggle-changed" aria-pressed="false" title="Show only what differs from the preset"
>Changed <b id="changed-count">0</b></button>
<button type="button" id="reset-all" title="Put every field back to what the preset says" hidden>Reset all</button>
<button type="button" id="toggle-help" aria-pressed="false" title="Show the help of every setting">Help</button>
</div>"""

BAR_TEXTS = (
    "Search settings", "Press / to search", "Settings found", "Show only what differs from the preset", "Changed",
    "Put every field back to what the preset says", "Reset all", "Show the help of every setting", "Help",
)  # fmt: skip
"""What is translated of it when the page is sent."""


def build() -> None:
    about = f'<i id="form-data" data-form="{escape(json.dumps(data(), separators=(",", ":")))}"></i>'
    gr.HTML(BAR.replace("\n", " ") + about, elem_id="form-bar-part", padding=False)


def data() -> list[dict[str, Any]]:
    """What the script can't read off the widgets: where each key stands, and its default."""
    return [
        {
            "name": section.name,
            "title": section.title,
            "parts": {part: _defaults(members) for part, members in _parts(section).items() if members},
        }
        for section in layout.sections()
    ]


def _parts(section: layout.Section) -> dict[str, Any]:
    return {"basic": section.basic, "more": section.more, "blocks": section.blocks}


def _defaults(members: Any) -> dict[str, str]:
    return {parameter.key: str(values.shown(parameter, parameter.default)) for parameter in members}
