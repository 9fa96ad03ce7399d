"""How many tokens a caption has, and where it is cut off, as the text encoders will read it. No torch.

CLIP's vocabulary is the same in all families; it comes with the starter model.
Source of the rules: CLIP's byte pair encoding, lower case, words of letters apart from single digits and other signs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .families.emphasis import read_emphasis

VOCABULARY = Path(__file__).parent / "starter" / "model" / "tokenizer"
USUAL_LENGTH = 75
SPECIAL = ("<|startoftext|>", "<|endoftext|>")
WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


@dataclass(frozen=True)
class Read:
    """text: what is read; with emphasis, without its signs. tokens: how many. cut: where in the text what is left out
    begins, None where all is read."""

    text: str
    tokens: int
    cut: int | None


def read(caption: str, length: int | None = None, weighted: bool = False) -> Read:
    """length: the most tokens that are read, None for the usual 75."""
    most = length or USUAL_LENGTH
    pieces = [text for text, _ in read_emphasis(caption)] if weighted else [caption]
    count, place, cut = 0, 0, None
    for piece in pieces:
        starts = _starts(piece)
        if cut is None and count + len(starts) > most:
            cut = place + starts[most - count]
        count, place = count + len(starts), place + len(piece)
    return Read("".join(pieces), count, cut)


def _starts(text: str) -> Sequence[int]:
    """Where each token begins in the text."""
    return [start for start, _ in tokenizer().encode(text, add_special_tokens=False).offsets]


def ids(text: str) -> list[int]:
    """The numbers of the text's tokens, without begin and end."""
    return list(tokenizer().encode(text, add_special_tokens=False).ids)


@cache
def tokenizer() -> Any:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    pairs = (VOCABULARY / "merges.txt").read_text(encoding="utf-8").split("\n")
    made = Tokenizer(
        models.BPE(
            vocab=json.loads((VOCABULARY / "vocab.json").read_text(encoding="utf-8")),
            merges=[(first, second) for first, _, second in (pair.partition(" ") for pair in pairs[1:]) if second],
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
            unk_token=SPECIAL[1],
        )
    )
    made.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    made.add_special_tokens(list(SPECIAL))
    return made
