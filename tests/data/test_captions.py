"""The caption pipeline, step by step in its order."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from sd_scripts.config.captions import CaptionConfig
from sd_scripts.data import captions
from sd_scripts.data.captions import Moment

NOW = Moment(epoch=1, step=0, total_steps=100)


def read(line: str | list[str], seed: int = 0, moment: Moment = NOW, **settings: object) -> str:
    lines = [line] if isinstance(line, str) else line
    return captions.process(lines, CaptionConfig(**settings), moment, Random(seed))


def test_without_settings_a_caption_stays_as_it_is():
    assert read("a  cat,on {a|b},  mat") == "a  cat,on {a|b},  mat"


def test_only_the_first_line_counts_without_wildcards():
    assert read(["first", "second"]) == "first"


def test_no_lines_are_an_empty_caption():
    assert read([]) == ""


def test_prefix_and_suffix_stand_around_the_caption():
    assert read("cat", caption_prefix="photo of", caption_suffix="at night") == "photo of cat at night"


def test_prefix_counts_among_the_parts_to_keep():
    results = {read("b, c, d", seed, caption_prefix="a,", shuffle_caption=True, keep_tokens=1) for seed in range(50)}
    assert {result.split(", ")[0] for result in results} == {"a"}
    assert len(results) == 6


def test_shuffling_keeps_every_part_once():
    results = {read("a,b,c", seed, shuffle_caption=True) for seed in range(100)}
    assert results == {"a, b, c", "a, c, b", "b, a, c", "b, c, a", "c, a, b", "c, b, a"}


def test_parts_before_the_separator_and_after_a_second_one_stay_in_place():
    for seed in range(20):
        parts = read("a, b ||| c, d, e ||| f", seed, shuffle_caption=True, keep_tokens_separator="|||").split(", ")
        assert parts[:2] == ["a", "b"] and parts[-1] == "f" and sorted(parts[2:5]) == ["c", "d", "e"]


def test_the_separator_wins_over_the_number_of_parts():
    results = {
        read("a ||| b, c", seed, shuffle_caption=True, keep_tokens=3, keep_tokens_separator="|||") for seed in range(20)
    }
    assert results == {"a, b, c", "a, c, b"}


def test_parts_are_left_out_at_the_rate_asked_for_and_kept_ones_never():
    counts: Counter[str] = Counter()
    for seed in range(2000):
        counts.update(read("a, b, c", seed, caption_tag_dropout_rate=0.3, keep_tokens=1).split(", "))
    assert counts["a"] == 2000
    assert counts["b"] == pytest.approx(1400, abs=70) and counts["c"] == pytest.approx(1400, abs=70)


def test_captions_are_dropped_at_the_rate_asked_for():
    dropped = sum(read("cat", seed, caption_dropout_rate=0.2) == "" for seed in range(2000))
    assert dropped == pytest.approx(400, abs=60)


@pytest.mark.parametrize("rate, caption", [(0.0, "cat"), (1.0, "")])
def test_a_rate_of_0_drops_nothing_and_1_everything(rate, caption):
    assert {read("cat", seed, caption_dropout_rate=rate) for seed in range(200)} == {caption}


def test_every_third_epoch_goes_without_captions():
    epochs = [read("cat", moment=Moment(epoch, 0, 10), caption_dropout_every_n_epochs=3) for epoch in range(1, 8)]
    assert epochs == ["cat", "cat", "", "cat", "cat", "", "cat"]


def test_wildcards_choose_one_of_each_and_nest():
    results = {read("{red|blue} {cat|{big|small} dog}", seed, enable_wildcard=True) for seed in range(200)}
    assert results == {f"{colour} {what}" for colour in ("red", "blue") for what in ("cat", "big dog", "small dog")}


def test_doubled_braces_stand_for_themselves():
    assert read("{{a|b}} {c}", enable_wildcard=True) == "{a|b} c"


def test_with_wildcards_one_of_the_lines_is_taken():
    assert {read(["one", "two", "three"], seed, enable_wildcard=True) for seed in range(50)} == {"one", "two", "three"}


def test_the_secondary_separator_holds_parts_together_and_is_then_replaced():
    results = {read("a;;;b, c", seed, shuffle_caption=True, secondary_separator=";;;") for seed in range(20)}
    assert results == {"a,b, c", "c, a,b"}


def test_another_caption_separator_divides_but_the_parts_are_joined_with_commas():
    results = {read("a, b; c", seed, shuffle_caption=True, caption_separator=";") for seed in range(20)}
    assert results == {"a, b, c", "c, a, b"}


@pytest.mark.parametrize("step, parts", [(0, 1), (9, 1), (25, 2), (50, 3), (75, 4), (99, 4), (100, 5), (500, 5)])
def test_the_warm_up_uses_ever_more_parts(step, parts):
    """floor(step * (5 - 1) / 100) + 1"""
    caption = read("a, b, c, d, e", moment=Moment(1, step, 1000), token_warmup_step=100)
    assert caption == ", ".join("abcde"[:parts])


def test_a_warm_up_below_1_is_a_share_of_all_steps():
    moment = Moment(1, 50, 1000)
    assert read("a, b, c", moment=moment, token_warmup_step=0.1) == read(
        "a, b, c", moment=moment, token_warmup_step=100
    )


def test_the_warm_up_begins_with_as_many_parts_as_asked_for():
    assert read("a, b, c, d", token_warmup_step=100, token_warmup_min=3) == "a, b, c"


def test_validation_sees_the_caption_with_nothing_drawn():
    config = CaptionConfig(
        caption_prefix="p",
        shuffle_caption=True,
        caption_dropout_rate=1.0,
        enable_wildcard=True,
        keep_tokens_separator="|||",
    )
    assert captions.plain(["a ||| {x|y}, c", "other"], config) == "p a, x, c"
