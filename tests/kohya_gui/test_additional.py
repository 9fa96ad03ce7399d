"""Flags typed in as text."""

from __future__ import annotations

import pytest

from kohya_gui import additional
from kohya_gui.entries import Entries
from sd_scripts.config.schema import Problem


@pytest.mark.parametrize(("text", "settings"), [
    ("", {}),
    ("--seed 3", {"seed": "3"}),
    ("--seed=3 --flip_aug", {"seed": "3", "flip_aug": True}),
    ('--training_comment "two words"', {"training_comment": "two words"}),
    ("--training_comment='--dashes'", {"training_comment": "--dashes"}),
    ("--flip_aug false", {"flip_aug": "false"}),
    ("--network_args conv_dim=4\nconv_alpha=1", {"network_args": ["conv_dim=4", "conv_alpha=1"]}),
    ("--v_pred_like_loss -0.5", {"v_pred_like_loss": "-0.5"}),
    ("--use_cp", {"use_tucker": True}),
])  # fmt: skip
def test_it_is_split_as_a_shell_does(text: str, settings: dict[str, object]) -> None:
    parsed = additional.parse(text)
    assert (parsed.settings, parsed.problems) == (settings, [])


@pytest.mark.parametrize(("text", "sentence"), [
    ("--learning_rat 1", "There is no flag --learning_rat. Did you mean learning_rate?"),
    ("--seed", "--seed needs a value."),
    ("--training_comment two words", "--training_comment takes one value and got 2; put quotation marks around."),
    ("--training_comment 'two", "A quotation mark is not closed; close it."),
    ("seed 3", "'seed' belongs to no flag; write --flag value."),
    ("--seed 1 --seed 2", "--seed is given twice; keep one of them."),
    ("--wandb_api_key x", "--wandb_api_key is a secret; type it into its own field, which is never stored."),
    ("--method lora", "--method has no place here; choose it at the top of the form."),
])  # fmt: skip
def test_what_is_wrong_is_said(text: str, sentence: str) -> None:
    assert additional.parse(text).problems[0] == Problem("additional_parameters", sentence)


def test_a_wrong_value_is_said_where_it_was_typed() -> None:
    problems = Entries.of({"additional_parameters": "--seed much"}).loaded.problems
    assert [problem for problem in problems if problem.stops] == [
        Problem("additional_parameters", "--seed: 'much' is not a whole number.")
    ]


def test_a_secret_among_the_flags_is_not_kept_in_the_browser() -> None:
    entries = Entries.of({"additional_parameters": "--wandb_api_key abc", "seed": 3})
    assert entries.kept == {"seed": 3}
    assert "abc" not in str(entries.loaded.problems)
