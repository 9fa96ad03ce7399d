"""Tokens are counted as the text encoder's own tokenizer counts them, and without torch."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from sd_scripts import tokens

ROOT = Path(__file__).parents[1]
CAPTIONS = [
    "", " ", "a photo of a cat", "A PHOTO,  of\ta\ncat!!", "sks dog, 1girl, solo, masterpiece", "it's he'll they've I'd",
    "猫が座っている写真", "café naïve Zoë Ångström", "cafe\u0301 decomposed", "emoji 🐈\u200d⬛ 👩🏽‍🚀", "Привет, мир", "مرحبا بالعالم",
    "3.14159 2026-11-21", "(red:1.3) [blue] \\(x\\)", "<|endoftext|> and <|startoftext|>", "a_b-c/d\\e|f~g`h", "İstanbul ŞİŞ ß ﬁ ǅ",
    "\u00a0non\u2003breaking\u3000spaces", "zero\u200bwidth\ufeffmark", "\x00control\x07", "tag, " * 60, "x" * 300, "ｆｕｌｌ ｗｉｄｔｈ １２３",
    "한국어 캡션", "नमस्ते दुनिया", "ไทยไม่มีช่องว่าง", "¹²³ ½ Ⅷ ①", "“quotes” – dash… ©®™",
]  # fmt: skip


@pytest.fixture(scope="module")
def clip():
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(str(tokens.VOCABULARY))


@pytest.mark.parametrize("caption", CAPTIONS)
def test_tokens_are_those_of_clip(clip, caption):
    assert tokens.ids(caption) == clip(caption, add_special_tokens=False, verbose=False).input_ids


def test_tokens_of_random_texts_are_those_of_clip(clip):
    rng = random.Random(7)
    ranges = [
        (32, 126),
        (32, 126),
        (0xA0, 0x24F),
        (0x370, 0x4FF),
        (0x3040, 0x30FF),
        (0x4E00, 0x9FFF),
        (0x1F300, 0x1F6FF),
    ]
    for _ in range(500):
        words = ("".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.randint(1, 9))) for _ in range(12))
        caption = " ".join(words)
        assert tokens.ids(caption) == clip(caption, add_special_tokens=False, verbose=False).input_ids, repr(caption)


@pytest.mark.parametrize("caption, length, weighted, count, left_out", [
    ("a cat", None, False, 2, None),
    ("cat " * 75, None, False, 75, None),
    ("cat " * 74 + "dog bird", None, False, 76, "bird"),
    ("cat " * 150 + "bird", 150, False, 151, "bird"),
    ("cat " * 150, 225, False, 150, None),
    ("猫 " * 75 + "CAFÉ end", None, False, None, None),
    ("(cat:1.2) " * 75 + "bird", None, True, 76, "bird"),
    ("cat " * 74 + "(dog bird:1.5) fish", None, True, 77, "bird fish"),
])  # fmt: skip
def test_the_cut_is_where_the_reader_stops(clip, caption, length, weighted, count, left_out):
    read = tokens.read(caption, length, weighted)
    assert count in (None, read.tokens)
    if left_out is not None or read.cut is None:
        assert read.text[read.cut if read.cut is not None else len(read.text) :].strip() == (left_out or "")
    if read.cut is not None and not weighted:
        kept = clip(read.text[: read.cut], add_special_tokens=False, verbose=False).input_ids
        assert kept == clip(caption, add_special_tokens=False, verbose=False).input_ids[: length or 75]


def test_the_text_encoder_reads_up_to_the_cut(clip):
    from sd_scripts.families.text import Reading, tokenize

    caption = ", ".join(f"word{n} (bright:1.2)" for n in range(40))
    for length in (75, 150):
        read = tokens.read(caption, length, weighted=True)
        ids, _ = tokenize([caption], clip, Reading(length=length, weighted=True))
        assert ids.shape[1] == length + 2 and read.cut is not None
        kept = tokens.read(read.text[: read.cut], 225)
        assert kept.tokens == length


def test_counting_needs_no_torch():
    code = "import sys; from sd_scripts import tokens; tokens.read('a cat'); sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
