"""Adding a method: its class and its group's row, and a word in the list of choices."""

from __future__ import annotations

from sd_scripts import methods
from sd_scripts.config import load
from sd_scripts.config.methods import METHODS
from sd_scripts.methods.base import Method


def test_every_method_that_can_be_chosen_is_declared_and_done() -> None:
    choices = load.parameters()["method"].choices
    assert set(METHODS) == set(choices) == set(methods.METHODS)
    assert all(issubclass(methods.kind(name), Method) for name in choices)
