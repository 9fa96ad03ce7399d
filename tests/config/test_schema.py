"""What a declaration says, read back."""

from typing import Annotated, ClassVar, Literal

import pytest

from sd_scripts.config.schema import Ge, Group, Le, Numbers, Ui, Words, label_of, parameters, split_words


class Example(Group):
    title: ClassVar[str] = "Example"

    strength: Annotated[float, Ge(0), Le(1), Ui(step=0.1, basic=True)] = 0.5
    """How strong it is."""
    kind: Literal["round", "square"] | None = None
    """Its shape."""
    words: Words = ()
    """Words."""
    rates: Numbers = ()
    """Rates."""


def test_a_parameter_carries_everything_that_was_declared() -> None:
    strength = parameters(Example)["strength"]
    assert (strength.kind, strength.default, strength.limits) == ("float", 0.5, {"ge": 0, "le": 1})
    assert strength.help == "How strong it is."
    assert strength.ui.basic and strength.ui.step == 0.1


def test_none_beside_choices_makes_a_parameter_optional() -> None:
    kind = parameters(Example)["kind"]
    assert (kind.kind, kind.choices, kind.optional) == ("choice", ("round", "square"), True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("a=1 b=2", ["a=1", "b=2"]),
        ("  betas=(0.9, 0.99)  weight_decay=0.1\n", ["betas=(0.9, 0.99)", "weight_decay=0.1"]),
        ("name='two words' x=[1, 2]", ["name='two words'", "x=[1, 2]"]),
    ],
)
def test_words_split_at_blanks_outside_brackets_and_quotes(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@pytest.mark.parametrize("given", ["1e-4 5e-5", "1e-4,5e-5", "1e-4, 5e-5", [1e-4, 5e-5]])
def test_numbers_are_read_from_a_text_or_a_list(given: object) -> None:
    assert Example(rates=given).rates == (1e-4, 5e-5)


def test_a_single_number_makes_a_list_of_one() -> None:
    assert Example(rates=0).rates == (0.0,)


@pytest.mark.parametrize(
    ("key", "label"), [("min_snr_gamma", "Min SNR gamma"), ("unet_lr", "U-Net learning rate"), ("seed", "Seed")]
)
def test_a_label_is_the_keys_own_words(key: str, label: str) -> None:
    assert label_of(key) == label
