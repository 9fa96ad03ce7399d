"""The page of all runs: what waits, goes on and is over. It is drawn by runs.js."""

from __future__ import annotations

import gradio as gr


def build() -> None:
    """Puts the page into the Blocks that are being built."""
    gr.HTML('<div id="runs"></div>', elem_id="runs-card")
    gr.HTML('<div id="live" aria-live="off"></div>', elem_id="live-card")
