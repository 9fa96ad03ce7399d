"""Ready-made sentences, and captions without the word that is to be learned."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sd_scripts import plan
from sd_scripts.config.load import from_flat
from sd_scripts.data import dataset
from sd_scripts.data.sentences import ABOUT_A_STYLE, ABOUT_A_THING

BASE = {
    "method": "textual_inversion",
    "token_string": "bloop",
    "init_word": "red",
    "resolution": 32,
    "enable_bucket": False,
    "seed": 1,
}


def make(parent: Path, captions: dict[str, str], **more: Any) -> tuple[Any, Any]:
    """Pictures in a folder each under `parent`, with captions: file -> text."""
    from PIL import Image

    for name, caption in captions.items():
        file = parent / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32)).save(file)
        file.with_suffix(".txt").write_text(caption)
    config = from_flat({**BASE, "train_data_dir": str(parent), **more}).unwrap()
    return config, plan.make(config)


def read(config: Any, planned: Any, epochs: int = 1) -> list[str]:
    made = dataset.build(config, planned)
    batches = made.after(0, 0)
    return [caption for _ in range(epochs * made.per_epoch) for caption in next(batches).captions]


@pytest.mark.parametrize(
    ("key", "known"), [("use_object_template", ABOUT_A_THING), ("use_style_template", ABOUT_A_STYLE)]
)
def test_sentences_stand_in_for_captions(tmp_path: Path, key: str, known: tuple[str, ...]) -> None:
    config, planned = make(tmp_path, {"50_x/a": "ignored"}, **{key: True})
    captions = read(config, planned, 4)
    assert {*captions} <= {sentence.format("bloop") for sentence in known}
    assert len({*captions}) > len(known) / 2
    assert captions == read(config, planned, 4), "every draw follows from the seed"
    assert not any(problem.stops for problem in planned.problems)


def test_every_sentence_holds_the_word_once_and_no_two_are_alike() -> None:
    for sentences in (ABOUT_A_THING, ABOUT_A_STYLE):
        assert all(sentence.count("{}") == 1 for sentence in sentences)
        assert max(Counter(sentences).values()) == 1


def test_a_folder_says_which_of_several_words_its_images_show(tmp_path: Path) -> None:
    captions = {"20_bloop monster/a": "", "20_Gleep/a": "", "20_both/a": ""}
    config, planned = make(tmp_path, captions, token_string="bloop gleep", use_object_template=True)
    seen = {tuple(word for word in ("bloop", "gleep") if word in caption) for caption in read(config, planned)}
    assert seen == {("bloop",), ("gleep",), ("bloop", "gleep")}
    assert any("bloop and gleep" in caption for caption in read(config, planned))


def test_regularization_images_keep_their_captions(tmp_path: Path) -> None:
    make(tmp_path / "reg", {"1_red/r": "a red thing"})
    config, planned = make(
        tmp_path / "train", {"1_x/a": ""}, use_object_template=True, reg_data_dir=str(tmp_path / "reg")
    )
    assert "a red thing" in read(config, planned)


def test_prefixes_still_go_before_sentences(tmp_path: Path) -> None:
    config, planned = make(tmp_path, {"3_x/a": ""}, use_object_template=True, caption_prefix="blurry,")
    assert all(caption.startswith("blurry, ") for caption in read(config, planned))


CASES = [
    ({"1_x/a": "a bloop", "1_x/b": "Bloop!"}, {}, []),
    ({"1_x/a": "a bloop", "1_x/b": "a dog"}, {},
     ["token_string: 1 of 2 images have captions without bloop, so they teach nothing about it."]),
    ({"1_x/a": "bloops", "1_x/b": "a dog"}, {},
     ["token_string: No caption holds bloop, so there is nothing to learn it from; write it into the captions, set "
      "caption_prefix to it, or use one of the kinds of sentences."]),
    ({"1_x/a": "", "1_x/b": "a dog"}, {"caption_prefix": "a bloop,"}, []),
    ({"1_x/a": "", "1_x/b": "a dog"}, {"method": "lora"}, []),
]  # fmt: skip


@pytest.mark.parametrize(("captions", "settings", "said"), CASES)
def test_captions_without_the_word_are_told(tmp_path: Path, captions: Any, settings: Any, said: list[str]) -> None:
    _, planned = make(tmp_path, captions, **settings)
    assert [str(problem) for problem in planned.problems if problem.key == "token_string"] == said
