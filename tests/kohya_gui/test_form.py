"""Widgets made from declarations, and what is shown of them."""

from __future__ import annotations

import gradio as gr
import pytest

from kohya_gui import marks, notes, visible
from kohya_gui.entries import Entries
from kohya_gui.form import widget
from kohya_gui.layout import BLOCKS, has_widget, sections, shown_parameters
from sd_scripts.config import load
from sd_scripts.config.schema import Notice, Parameter, Problem

EVERY = [parameter for parameter in load.parameters().values() if has_widget(parameter)]


@pytest.mark.parametrize("parameter", EVERY, ids=lambda parameter: parameter.key)
def test_a_parameter_gets_a_widget_with_label_help_and_key(parameter: Parameter) -> None:
    made = widget(parameter, parameter.default)
    assert made.label == parameter.label
    assert made.info.endswith(f"`{parameter.key}`")
    assert made.elem_id == f"p-{parameter.key}"


def kind_of(key: str) -> type:
    return type(widget(load.parameters()[key], load.parameters()[key].default))


@pytest.mark.parametrize(("key", "kind"), [
    ("gradient_checkpointing", gr.Checkbox), ("mixed_precision", gr.Dropdown), ("learning_rate", gr.Textbox),
    ("max_train_epochs", gr.Textbox), ("sample_prompts", gr.Textbox), ("optimizer_type", gr.Dropdown),
])  # fmt: skip
def test_the_kind_decides_the_widget(key: str, kind: type) -> None:
    assert kind_of(key) is kind


def test_a_secret_is_typed_unseen() -> None:
    assert widget(load.parameters()["wandb_api_key"], None).type == "password"


def test_an_open_choice_takes_other_words_too() -> None:
    assert widget(load.parameters()["optimizer_type"], "torch.optim.RAdam").allow_custom_value


def hidden(flat: dict[str, object]) -> set[str]:
    return visible.without_effect(Entries.of(flat))


def test_what_has_no_effect_for_the_model_is_hidden() -> None:
    assert "clip_skip" not in hidden({})
    idle = {p.key for p in shown_parameters() if p.applies_to.missing("sd2", "lora", "lora")}
    assert idle and hidden({"v2": True}) >= idle


def test_what_has_no_effect_for_the_network_is_hidden() -> None:
    assert "factor" in hidden({})
    assert "factor" not in hidden({"network_module": "lycoris.kohya", "algo": "lokr"})


def test_what_was_filled_in_stays_in_sight_without_an_effect() -> None:
    assert "factor" not in hidden({"factor": 8})


def test_what_only_another_method_has_is_hidden_even_where_it_was_filled_in() -> None:
    assert "network_dim" not in hidden({"network_dim": 24})
    assert "network_dim" in hidden({"network_dim": 24, "method": "dreambooth"})


def test_wrong_settings_hide_nothing_that_they_do_not_decide() -> None:
    assert hidden({"learning_rate": "much"}) == hidden({})
    assert hidden({"network_dim": "lots", "vae": 5, "sdxl": True}) == hidden({"sdxl": True})
    assert "clip_skip" in hidden({"method": "textual_inversion", "sdxl": True})  # no word was typed yet


def test_a_section_of_which_nothing_is_left_is_hidden_too() -> None:
    gone = visible.hidden_parts(sections(), hidden({"method": "dreambooth"}))
    assert "g-network" in gone
    assert visible.hidden_parts(sections(), set(BLOCKS)) == {"blocks-network", *never_there()}


def never_there() -> set[str]:
    """Parts that a section does not have."""
    parts = {
        f"{part}-{s.name}": members for s in sections() for part, members in (("more", s.more), ("blocks", s.blocks))
    }
    return {name for name, members in parts.items() if not members}


def test_problems_come_before_notices_and_nothing_in_them_is_markup() -> None:
    html = notes.problem_list([Notice("seed", "Just so."), Problem("output_name", "'<b>' can't be a name.")])
    assert html.index("can&#x27;t be a name") < html.index("Just so.")
    assert "<b>" not in html
    assert "1 to put right before the start" in html


def test_a_message_cannot_leave_its_style_sheet() -> None:
    sheet = marks.stylesheet(marks.Marks(set(), set(), {}, [Problem("seed", 'x"; } </style><script>')], {}))
    assert "<script" not in sheet and sheet.count("</style>") == 1 and '"; }' not in sheet.replace("x\\22 \\3b", "")
