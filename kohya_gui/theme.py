"""How the page looks: one calm theme of system fonts, and our own small style sheet and script, sent with the page."""

from __future__ import annotations

from functools import cache
from html import escape
from pathlib import Path

import gradio as gr

STATIC = Path(__file__).parent / "static"
SCRIPTS = ("page.js", "chart.js", "live.js")


@cache
def text(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def head() -> str:
    """Sent inside the page, so that it works under any path a proxy shows it at."""
    return "".join(f"<script>{text(name)}</script>" for name in SCRIPTS)


def header(title: str) -> str:
    """The page's top line, with what concerns the page as a whole."""
    return (
        f'<header><h1>{escape(title)}</h1><nav><button type="button" id="toggle-keys" aria-pressed="false" '
        'title="Show the key of every setting, as used in presets, TOML files and flags">Show keys</button>'
        '<button type="button" id="toggle-dark" aria-pressed="false">Dark</button></nav></header>'
    )


def calm() -> gr.themes.Base:
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_sm,
        spacing_size=gr.themes.sizes.spacing_sm,
        text_size=gr.themes.sizes.text_sm,
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Liberation Sans", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace"],
    )
