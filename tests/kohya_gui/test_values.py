"""Settings as widgets hold them and as the schema takes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kohya_gui import additional, values
from kohya_gui.layout import SET_BY_THE_APP, has_widget, sections, shown_parameters
from sd_scripts.config import load, toml
from sd_scripts.config.schema import Parameter, Problem

EVERY = [parameter for parameter in load.parameters().values() if has_widget(parameter)]
every = pytest.mark.parametrize("parameter", EVERY, ids=lambda parameter: parameter.key)


def other_values(parameter: Parameter) -> list[object]:
    """Values that the schema accepts and that are not the default."""
    candidates = {
        "bool": [True, False],
        "int": [0, 1, 2, 3, 64, 2**53 + 1],
        "float": [0.0, 0.5, 1.0, 1e-5, 1.5, 2.0],
        "mixed": [0, 1, 10, 0.1, "10%"],
        "str": ["some words", "a\nb", "x=1"],
        "choice": list(parameter.choices),
        "list": [
            ["a=1"],
            ["betas=(0.9, 0.99)", "eps=1e-8"],
            ["two words", "x"],
            ["one item of words"],
            [0.1],
            [1e-4, 5e-5],
            [1, 2],
        ],
        "secret": [],
    }[parameter.kind]
    if parameter.optional and parameter.default is not None:
        candidates = [*candidates, None]
    typed = [values.typed(parameter, candidate) for candidate in candidates]
    return [value for value in typed if not isinstance(value, Problem) and value != parameter.default]


@every
def test_the_default_is_seen_as_unchanged(parameter: Parameter) -> None:
    assert values.is_default(parameter, values.given(parameter, values.shown(parameter, parameter.default)))


@every
def test_a_value_survives_its_widget(parameter: Parameter) -> None:
    for value in other_values(parameter):
        in_widget = values.shown(parameter, load.plain(value))
        sent = json.loads(json.dumps(in_widget))  # to the browser and back
        assert values.typed(parameter, values.given(parameter, sent)) == value
        assert not values.is_default(parameter, values.given(parameter, sent))


@every
def test_a_value_survives_preset_and_settings_file(parameter: Parameter, tmp_path: Path) -> None:
    for value in other_values(parameter):
        flat = values.settings([parameter], [values.shown(parameter, load.plain(value))])
        from_preset = json.loads(json.dumps(flat))
        assert values.typed(parameter, from_preset[parameter.key]) == value
        file = tmp_path / "config.toml"
        written = {key: "" if setting is None else setting for key, setting in flat.items()}
        file.write_text(toml.write_flat(written), encoding="utf-8")
        assert values.typed(parameter, toml.read_flat(file)[parameter.key]) == value


@pytest.mark.parametrize(
    "key", [parameter.key for parameter in EVERY if parameter.optional and parameter.kind != "secret"]
)
def test_an_emptied_field_is_not_set(key: str) -> None:
    parameter = load.parameters()[key]
    empty = values.NOT_SET if parameter.kind in ("bool", "choice") else ""
    assert values.typed(parameter, values.given(parameter, empty)) in (None, ())


@pytest.mark.parametrize(("key", "text", "sentence"), [
    ("max_train_steps", "", "It is empty; give a whole number."),
    ("max_train_steps", "1.5", "1.5 is not a whole number."),
    ("max_train_steps", "many", "'many' is not a whole number."),
    ("max_train_steps", "-3", "-3 is out of range; it must be at least 1."),
    ("learning_rate", "0,1", "'0,1' is not a number."),
])  # fmt: skip
def test_a_slip_in_a_number_is_named(key: str, text: str, sentence: str) -> None:
    parameter = load.parameters()[key]
    flat = values.settings([parameter], [text])
    assert [problem.message for problem in load.from_flat(flat).errors] == [sentence]


@pytest.mark.parametrize(("key", "text", "value"), [
    ("max_grad_norm", "0", 0), ("unet_lr", "0", 0), ("learning_rate", "1e-4", 1e-4), ("learning_rate", " 1e-5 ", 1e-5),
    ("seed", "9007199254740993", 2**53 + 1), ("prior_loss_weight", "0", 0),
])  # fmt: skip
def test_zero_and_large_numbers_arrive_as_they_were_typed(key: str, text: str, value: float) -> None:
    parameter = load.parameters()[key]
    assert values.given(parameter, text) == value
    config = load.from_flat(values.settings([parameter], [text])).unwrap()
    assert config.value(parameter) == value


@pytest.mark.parametrize(("text", "words"), [
    ("betas=(0.9, 0.99) ", ("betas=(0.9, 0.99)",)),
    ("betas=0.9,0.99\n", ("betas=0.9,0.99",)),
    ("weight_decay=0.01 eps=1e-8", ("weight_decay=0.01", "eps=1e-8")),
    ("weight_decay=0.01\neps=1e-8\n\n", ("weight_decay=0.01", "eps=1e-8")),
    ("", ()),
])  # fmt: skip
def test_optimizer_arguments_may_hold_blanks_and_line_ends(text: str, words: tuple[str, ...]) -> None:
    parameter = load.parameters()["optimizer_args"]
    assert values.typed(parameter, values.given(parameter, text)) == words


def test_secrets_are_kept_apart_from_settings() -> None:
    secret = next(parameter for parameter in EVERY if parameter.kind == "secret")
    assert values.settings([secret], [" hf_abc "]) == {}
    assert values.secrets([secret], [" hf_abc "]) == {secret.key: "hf_abc"}


def test_every_parameter_stands_on_the_page_once() -> None:
    keys = [parameter.key for parameter in shown_parameters()]
    assert len(keys) == len(set(keys))
    assert load.parameters().keys() - set(keys) == set(SET_BY_THE_APP)
    assert set(keys) - load.parameters().keys() == {additional.KEY}


def test_the_page_knows_every_group() -> None:
    shown = {section.name for section in sections()}
    assert {parameter.attribute for parameter in EVERY} == shown
