"""How the page's form reaches the app: as one text that the page's script gathers from all fields.

Gradio can hand each field over by itself, but then every keystroke costs the browser as much as there are fields, twice
over, and a preset takes seconds. So no handler has the fields as its inputs or outputs: the script gathers them into
one text, and puts values into them, without asking the app.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import gradio as gr
from gradio.components import Component

QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
GATHER = "(...values) => window.trainForm.gathered(values)"


@dataclass
class Wires:
    """form: what all fields hold, as JSON. Unseen buttons, which the script presses: gather, check and put. None of
    gather and put is left out because the one before is under way, or what it is pressed for would be lost."""

    widgets: list[Component] = field(default_factory=list)
    form: gr.Textbox = field(default_factory=lambda: gr.Textbox(visible=False))
    gather: gr.Button = field(default_factory=lambda: _unseen("gather"))
    check: gr.Button = field(default_factory=lambda: _unseen("check"))
    put: gr.Button = field(default_factory=lambda: _unseen("put"))

    def fresh(
        self,
        listen: Any,
        handler: Callable[..., Any],
        others: Sequence[Component],
        outputs: Any,
        trigger_mode: Literal["once", "multiple", "always_last"] = "once",
    ) -> Any:
        """Calls the handler with the form as it is at that moment, then the values of the others. Pressed twice, it
        is called once, unless `trigger_mode` says otherwise."""
        gathered = listen(None, self.widgets, self.form, js=GATHER)
        return gathered.then(handler, [self.form, *others], outputs, trigger_mode=trigger_mode, **QUICK)

    def connect_gathering(self) -> None:
        """The script looks at the form when something was typed or chosen, and asks for a check if it is another."""
        gathered = self.gather.click(None, self.widgets, self.form, js=GATHER, trigger_mode="multiple")
        gathered.then(None, None, None, js="() => window.trainForm.checkIfChanged()")

    def connect_putting(self, choice: Component, said: Component, baseline: Component) -> None:
        """The script puts values into the fields, and with them what they are compared with."""
        filled = [choice, said, baseline, *self.widgets]
        put = self.put.click(None, baseline, filled, js="(was) => window.trainForm.put(was)", trigger_mode="multiple")
        put.then(None, None, None, js="() => window.trainForm.look(0)")


def _unseen(name: str) -> gr.Button:
    return gr.Button(name, elem_id=name, elem_classes="unseen")
