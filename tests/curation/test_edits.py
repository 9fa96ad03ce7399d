"""What bulk edits make of a caption."""

from __future__ import annotations

import pytest

from sd_scripts.curation import edits
from sd_scripts.curation.edits import BadEdit


@pytest.mark.parametrize("kind, settings, before, after", [
    ("replace", {"find": "cat", "by": "dog"}, "a cat, Cat", "a dog, dog"),
    ("replace", {"find": "cat", "by": "dog", "match_case": True}, "a cat, Cat", "a dog, Cat"),
    ("replace", {"find": "a.c", "by": "x"}, "abc a.c", "abc x"),
    ("replace", {"find": "a.c", "by": "x", "as_pattern": True}, "abc a.c", "x x"),
    ("replace", {"find": r"(\w+) cat", "by": r"cat, \1", "as_pattern": True}, "red cat", "cat, red"),
    ("replace", {"find": "(?P<n>red)", "by": r"\g<n>dish", "as_pattern": True}, "red", "reddish"),
    ("replace", {"find": "cat", "by": r"\1"}, "cat", r"\1"),
    ("replace", {"find": "cat"}, "a cat", "a "),
    ("replace", {"find": "ÄRGER", "by": "猫"}, "ärger", "猫"),
    ("replace", {"find": r"\n+", "by": ", ", "as_pattern": True}, "a\nb", "a, b"),
    ("prefix", {"text": "photo of "}, "a cat", "photo of a cat"),
    ("prefix", {"text": "sks, "}, "", "sks"),
    ("prefix", {"text": "x "}, "a\nb", "x a\nx b"),
    ("suffix", {"text": ", film"}, "a cat", "a cat, film"),
    ("suffix", {"text": ", film"}, "", "film"),
    ("add_tags", {"text": "red, blue"}, "cat, red", "cat, red, blue"),
    ("add_tags", {"text": "red, blue", "in_front": True}, "cat,red", "blue, cat, red"),
    ("add_tags", {"text": "red, red"}, "", "red"),
    ("add_tags", {"text": "cat"}, "cat ,dog", "cat ,dog"),
    ("remove_tags", {"text": "red, DOG"}, "red, cat, Dog, red hat", "cat, red hat"),
    ("remove_tags", {"text": "red"}, "cat ,dog", "cat ,dog"),
    ("remove_tags", {"text": "cat"}, "cat", ""),
    ("sort_tags", {}, "dog, Cat, ant", "ant, Cat, dog"),
    ("sort_tags", {"keep": 1}, "sks, dog, ant", "sks, ant, dog"),
    ("sort_tags", {}, "b, a\nd, c", "a, b\nc, d"),
    ("sort_tags", {}, "a ,b", "a ,b"),
    ("dedupe_tags", {}, "cat, red, Cat, red", "cat, red"),
])  # fmt: skip
def test_an_edit_makes_of_a_caption(kind, settings, before, after):
    assert edits.read(kind, settings)(before) == after


@pytest.mark.parametrize("kind, settings, sentence", [
    ("replace", {"find": ""}, "There is nothing to search for; type what shall be replaced."),
    ("replace", {"find": "(", "as_pattern": True},
     "The pattern '(' can't be used: missing ) at position 1; put a \\ before signs that mean themselves."),
    ("replace", {"find": "a", "by": r"\1", "as_pattern": True},
     "The pattern 'a' can't be used: invalid group reference; put a \\ before signs that mean themselves."),
    ("prefix", {"text": " "}, "There is nothing to put in front; type some text."),
    ("suffix", {"text": ""}, "There is nothing to put at the end; type some text."),
    ("add_tags", {"text": " , "}, "There is nothing to add; type some text."),
    ("remove_tags", {"text": ""}, "There is nothing to take out; type some text."),
    ("sort_tags", {"keep": -1}, "The number of tags that stay in front is below 0; give 0 or more."),
    ("sort_tags", {"kep": 1}, "The edit sort_tags can't be made with kep."),
    ("shout", {}, "There is no edit 'shout'; there is: replace, prefix, suffix, add_tags, remove_tags, sort_tags, dedupe_tags."),
])  # fmt: skip
def test_what_can_t_be_done_is_said(kind, settings, sentence):
    with pytest.raises(BadEdit) as error:
        edits.read(kind, settings)
    assert str(error.value) == sentence


def test_a_pattern_that_never_ends_is_given_up():
    edit = edits.read("replace", {"find": r"(a|aa)+$", "by": "", "as_pattern": True})
    with pytest.raises(BadEdit) as error:
        edit("a" * 60 + "b")
    assert str(error.value) == "The pattern '(a|aa)+$' takes too long to search for; make it simpler."


def test_tags_are_counted_once_a_caption():
    captions = ["cat, red, cat", "Red, cat\nblue", "", "dog"]
    assert edits.counted(captions) == {"cat": 2, "blue": 1, "dog": 1, "red": 1, "Red": 1}
