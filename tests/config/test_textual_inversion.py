"""Settings of textual inversion: how they are written, and what must hold between them."""

import pytest

from sd_scripts.config import load
from sd_scripts.config.textual_inversion import TextualInversionConfig, file_name

BASE = {"method": "textual_inversion", "token_string": "bloop", "init_word": "monster"}


def group(**values) -> TextualInversionConfig:
    return TextualInversionConfig.model_validate(values)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("bloop", ("bloop",)),
        ("bloop, gleep", ("bloop", "gleep")),
        ("a1 b2", ("a1", "b2")),
        (["a1", "b2"], ("a1", "b2")),
    ],
)
def test_words_stand_apart_by_blanks_or_commas(given, words):
    assert group(token_string=given).token_string == words


def test_a_phrase_to_start_from_may_have_blanks():
    assert group(init_word="one eyed monster, cat").init_word == ("one eyed monster", "cat")
    assert group(weights="C:/my words/a.pt").weights == ("C:/my words/a.pt",)


@pytest.mark.parametrize(
    ("counts", "words"), [(4, {"a1": 4, "b2": 4}), ("4", {"a1": 4, "b2": 4}), ("2, 8", {"a1": 2, "b2": 8})]
)
def test_one_number_is_for_all_words(counts, words):
    assert group(token_string="a1, b2", num_vectors_per_token=counts).words == words


def test_one_phrase_is_for_all_words():
    assert group(token_string="a1, b2", init_word="cat").starts == {"a1": "cat", "b2": "cat"}
    assert group(token_string="a1, b2", init_word="cat, dog").starts == {"a1": "cat", "b2": "dog"}
    assert group(token_string="a1").starts == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a bloop.", ["bloop"]), ("BLOOP's arm", ["BLOOP"]), ("bloops, my_bloop, bloop1", []), ("(bloop:1.2)", ["bloop"]),
        ("<cat-toy>s and bloop", ["<cat-toy>", "bloop"]), ("bloop two", ["bloop"]), ("bloop-x", ["bloop-x"]),
    ],
)  # fmt: skip
def test_words_are_found_whole_and_in_any_case(text, found):
    config = group(token_string=["bloop", "bloop-x", "<cat-toy>"])
    assert config.pattern.findall(text) == found


@pytest.mark.parametrize(
    ("word", "name"), [("bloop", "bloop"), ("<cat-toy>", "cat-toy"), ("a/b", "ab"), ("<>", "word")]
)
def test_a_word_names_its_file_as_far_as_it_can(word, name):
    assert file_name(word) == name


@pytest.mark.parametrize(
    ("settings", "stem"),
    [({}, "bloop"), ({"output_name": "x"}, "x"), ({"token_string": "a1 b2"}, "words"), ({"method": "lora"}, "last")],
)
def test_files_without_a_name_are_called_as_the_word(settings, stem):
    assert load.from_flat({**BASE, **settings}).unwrap().named().saving.stem == stem


PROBLEMS = {
    "no word": ({"token_string": ""}, "token_string: It is empty; give the word that shall stand for what is learned."),
    "emphasis": (
        {"token_string": "a(b)"}, "token_string: 'a(b)' holds '(', which has a meaning of its own; leave that out.",
    ),
    "twice": (
        {"token_string": "Bloop bloop"},
        "token_string: It holds the same word twice; upper and lower case make no difference.",
    ),
    "starts": (
        {"token_string": "a1 b2 c3", "init_word": "cat, dog"},
        "init_word: There are 2 starts for 3 new words; give one for each or one for all.",
    ),
    "numbers": (
        {"num_vectors_per_token": "1, 2"},
        "num_vectors_per_token: There are 2 numbers for 1 new words; give one for each or one for all.",
    ),
    "no number": ({"num_vectors_per_token": ""}, "num_vectors_per_token: It is empty; give a number from 1 on."),
    "zero": ({"num_vectors_per_token": 0}, "num_vectors_per_token: 0 is out of range; it must be at least 1."),
    "too many": ({"num_vectors_per_token": 76}, "num_vectors_per_token: 76 is out of range; it must be at most 75."),
    "files": (
        {"token_string": "a1 b2", "weights": "a.pt"}, "weights: There are 1 files for 2 new words; give one for each.",
    ),
    "no rate": (
        {"learning_rate": 0}, "learning_rate: It is 0, so nothing would be trained; 5e-4 to 5e-3 is usual for new words.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PROBLEMS)
def test_what_stops_it_is_said_in_a_sentence(case):
    settings, sentence = PROBLEMS[case]
    problems = load.from_flat({**BASE, **settings}).problems
    assert sentence in [str(problem) for problem in problems if problem.stops]


NOTICES = {
    "random": ({"init_word": ""}, "init_word: It is empty, so the new word starts at random and takes longer to learn."),
    "both": (
        {"use_object_template": True, "use_style_template": True},
        "use_style_template: The sentences about a thing are used, so it has no effect.",
    ),
    "resumed": (
        {"weights": "a.pt", "resume": "x-state"},
        "weights: The state that is resumed holds the vectors, so they have no effect.",
    ),
    "of other methods": (
        {"network_dim": 64}, "network_dim: Network rank has no effect on textual_inversion training; it works for lora.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NOTICES)
def test_what_has_no_effect_is_said(case):
    settings, sentence = NOTICES[case]
    loaded = load.from_flat({**BASE, **settings})
    assert loaded.config is not None and sentence in [str(problem) for problem in loaded.problems]


def test_nothing_is_said_about_good_settings():
    assert load.from_flat(BASE).problems == []
    assert load.from_flat({**BASE, "method": "lora", "token_string": ""}).config is not None
