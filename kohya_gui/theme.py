"""How the pages look: one calm theme of system fonts, and our own small style sheets and scripts, sent with a page."""

from __future__ import annotations

import json
import re
from functools import cache
from html import escape
from pathlib import Path

import gradio as gr

from . import texts

STATIC = Path(__file__).parent / "static"
PAGES = {"": "Train", "dataset": "Dataset", "runs": "Runs", "tools": "Tools", "settings": "Settings"}
"""Path of a page -> its name."""

EVERY_PAGE = ("page.css", "chooser.css", "texts.js", "kit.js", "page.js", "chooser.js")
FILES = {
    "": (
        "run.js", "chart.js", "live.css", "live.js", "plan.css", "plan.js", "train.css", "train.js", "blocks.js",
        "dock.js", "bring.js",
    ),
    "dataset": ("dataset.css", "bring.js", "dataset.js", "dataset_making.js"),
    "runs": ("run.js", "chart.js", "live.css", "live.js", "compare.js", "runs.css", "runs.js"),
    "tools": ("tools.css", "tools.js"),
    "settings": ("settings.css", "settings.js"),
}  # fmt: skip
"""Path of a page -> the files that it needs beside those of every page."""

WITH_KEYS = ("", "tools")
SHOW_KEYS = (
    '<button type="button" id="toggle-keys" aria-pressed="false" '
    'title="Show the key of every setting, as used in presets, TOML files and flags">Show keys</button>'
)


@cache
def text(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def files(page: str) -> list[str]:
    return [name for name in (*EVERY_PAGE, *FILES[page]) if (STATIC / name).is_file()]


@cache
def head(page: str, language: str = texts.ENGLISH) -> str:
    """Sent inside the page, so that it works under any path a proxy shows it at."""
    parts = [f"<style>{text(name)}</style>" for name in files(page) if name.endswith(".css")]
    parts.append(_words(page, language))
    parts += [f"<script>{text(name)}</script>" for name in files(page) if name.endswith(".js")]
    return "".join(parts)


def _words(page: str, language: str) -> str:
    """What the page's scripts say, where it is not said in English."""
    table = texts.table(language)
    known = {
        key: table[key]
        for name in files(page)
        if name.endswith(".js")
        for key in script_texts(text(name))
        if key in table
    }
    shown = json.dumps(known, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f"<script>window.texts={shown}</script>" if known else ""


def script_texts(script: str) -> list[str]:
    """The first arguments of the calls of `t` in a script."""
    return [json.loads(found) for found in re.findall(r'(?:(?<![\w.])|\bwindow\.)t\(\s*("(?:[^"\\]|\\.)*")', script)]


def header(title: str, current: str, *, can_leave: bool = False) -> str:
    """The top line of the page at the path `current`: the way to the others, and what concerns all of them."""
    links = "".join(_link(path, name, path == current) for path, name in PAGES.items())
    leave = '<a class="leave" href="./logout">Sign out</a>' if can_leave else ""
    choices = "".join(f'<option value="{code}" lang="{code}">{name}</option>' for code, name in texts.LANGUAGES.items())
    keys = SHOW_KEYS if current in WITH_KEYS else ""
    return (
        f'<header><h1 class="unseen">{PAGES[current]}</h1><a class="title" href="./">{escape(title)}</a>'
        f'<nav aria-label="Pages">{links}</nav><div class="switches">{keys}'
        '<button type="button" id="toggle-dark" aria-pressed="false">Dark</button>'
        f'<select data-language aria-label="Language">{choices}</select>{leave}</div></header>'
    )


def _link(path: str, name: str, here: bool) -> str:
    return f'<a href="./{path}"' + (' aria-current="page"' if here else "") + f">{name}</a>"


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
