"""Flat settings become a TrainConfig, or a list of sentences."""

import pytest

from sd_scripts.config import load


def sentences(flat: dict[str, object], strict: bool = True) -> list[str]:
    return [str(problem) for problem in load.from_flat(flat, strict=strict).errors]


@pytest.mark.parametrize(
    ("flat", "sentence"),
    [
        ({"clip_skp": 2}, "clip_skp: There is no such setting. Did you mean clip_skip?"),
        ({"clip_skip": 99}, "clip_skip: 99 is out of range; it must be at most 12."),
        ({"clip_skip": "two"}, "clip_skip: 'two' is not a whole number."),
        ({"clip_skip": 1.5}, "clip_skip: 1.5 is not a whole number."),
        ({"clip_skip": True}, "clip_skip: True is not a whole number."),
        ({"v2": "maybe"}, "v2: 'maybe' is not true or false."),
        ({"max_token_length": 100}, "max_token_length: 100 is not one of 75, 150, 225."),
        ({"learning_rate": None}, "learning_rate: It is empty; give a number."),
        ({"learning_rate": "nan"}, "learning_rate: 'nan' is not a number."),
        (
            {"pretrained_model_name_or_path": " "},
            "pretrained_model_name_or_path: It is empty; give a model file, a folder or a Hugging Face model ID.",
        ),
    ],
)
def test_a_wrong_value_gets_a_sentence(flat: dict[str, object], sentence: str) -> None:
    assert sentence in sentences(flat)


def test_all_problems_come_at_once() -> None:
    found = sentences({"clip_skip": 0, "v2": "x", "seeed": 1, "pretrained_model_name_or_path": ""})
    assert [line.split(":")[0] for line in found] == ["seeed", "v2", "clip_skip"] or len(found) >= 3


@pytest.mark.parametrize(("text", "value"), [("2", 2), (" 2 ", 2), ("", None)])
def test_texts_are_read_as_what_they_say(text: str, value: int | None) -> None:
    assert load.from_flat({"clip_skip": text}).unwrap().model.clip_skip == value


def test_a_choice_of_numbers_is_read_from_a_text() -> None:
    assert load.from_flat({"max_token_length": "150"}).unwrap().model.max_token_length == 150


def test_an_unknown_key_of_a_preset_is_only_said() -> None:
    loaded = load.from_flat({"of_another_age": 1}, strict=False)
    assert loaded.config is not None
    assert [problem.key for problem in loaded.problems if not problem.stops] == ["of_another_age"]


def test_zero_false_and_not_set_stay_three_things() -> None:
    flat = load.to_flat(load.from_flat({"max_grad_norm": 0, "seed": 0, "clip_skip": None}).unwrap(), all=True)
    assert (flat["max_grad_norm"], flat["seed"], flat["clip_skip"]) == (0, 0, None)
