"""Captions to hidden states, held against values put together by hand."""

from __future__ import annotations

import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModel

from sd_scripts.families import text
from sd_scripts.families.parts import own_tokenizer
from sd_scripts.families.text import Reading

BOS, EOS = 49406, 49407
WORD = "apple"
LONG = " ".join([WORD] * 100)


@pytest.fixture(scope="module")
def word_id() -> int:
    (found,) = own_tokenizer()(WORD, add_special_tokens=False).input_ids
    return found


@pytest.fixture(scope="module")
def encoder() -> CLIPTextModel:
    torch.manual_seed(0)
    return CLIPTextModel(
        CLIPTextConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2)
    ).eval()


@pytest.mark.parametrize("pad", ["<|endoftext|>", "!"])
@pytest.mark.parametrize("caption", ["", "a red apple, on a table", LONG])
def test_75_tokens_are_those_of_the_tokenizer(pad: str, caption: str) -> None:
    tokenizer = own_tokenizer(pad)
    ids, _ = text.tokenize([caption], tokenizer, Reading())
    theirs = tokenizer([caption], padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids
    assert torch.equal(ids, theirs)


@pytest.mark.parametrize("length", [75, 150, 225])
def test_longer_captions(length: int, word_id: int) -> None:
    ids, _ = text.tokenize([LONG], own_tokenizer(), Reading(length))
    n = min(100, length)
    assert ids.tolist() == [[BOS, *[word_id] * n, EOS, *[EOS] * (length - n)]]


def test_chunks_where_padding_is_the_end_token(word_id: int) -> None:
    ids, _ = text.tokenize([LONG, WORD], own_tokenizer(), Reading(225))
    found = text.chunks(ids, EOS, EOS).tolist()
    assert found[0] == [[BOS, *[word_id] * 75, EOS], [BOS, *[word_id] * 25, *[EOS] * 51], [BOS, *[EOS] * 76]]
    assert found[1] == [[BOS, word_id, *[EOS] * 75], [BOS, *[EOS] * 76], [BOS, *[EOS] * 76]]


def test_chunks_where_padding_is_0(word_id: int) -> None:
    """A chunk that text runs through ends with the end token; one of padding alone has it first."""
    ids, _ = text.tokenize([LONG, WORD], own_tokenizer("!"), Reading(225))
    found = text.chunks(ids, EOS, 0).tolist()
    assert found[0] == [[BOS, *[word_id] * 75, EOS], [BOS, *[word_id] * 25, EOS, *[0] * 50], [BOS, EOS, *[0] * 75]]
    assert found[1] == [[BOS, word_id, EOS, *[0] * 74], [BOS, EOS, *[0] * 75], [BOS, EOS, *[0] * 75]]


def test_chunks_are_joined_as_begin_texts_end() -> None:
    hidden = torch.arange(3 * 77).reshape(1, 3, 77, 1)
    expected = [0, *range(1, 76), *range(77 + 1, 77 + 76), *range(154 + 1, 154 + 76), 154 + 76]
    assert text.join(hidden).flatten().tolist() == expected


def test_a_long_caption_is_encoded_in_pieces(encoder: CLIPTextModel, word_id: int) -> None:
    found = text.encode([LONG], own_tokenizer(), encoder, Reading(150))
    first = encoder(torch.tensor([[BOS, *[word_id] * 75, EOS]])).last_hidden_state
    second = encoder(torch.tensor([[BOS, *[word_id] * 25, *[EOS] * 51]])).last_hidden_state
    expected = torch.cat([first[:, :76], second[:, 1:]], 1)
    assert found.shape == (1, 152, 16)
    assert torch.allclose(found, expected, atol=1e-6)


def test_clip_skip_takes_an_earlier_layer_and_normalizes_it(encoder: CLIPTextModel) -> None:
    """Against the model with its last layers cut off."""
    tokenizer = own_tokenizer()
    for skip in (1, 2, 3):
        config = CLIPTextConfig(**{**encoder.config.to_dict(), "num_hidden_layers": 4 - skip})
        shorter = CLIPTextModel(config).eval()
        shorter.load_state_dict(encoder.state_dict(), strict=False)
        ids, _ = text.tokenize(["a cat"], tokenizer, Reading())
        found = text.encode(["a cat"], tokenizer, encoder, Reading(clip_skip=skip))
        assert torch.allclose(found, shorter(ids).last_hidden_state, atol=1e-6), skip


def test_weights_multiply_token_by_token_without_renormalization(encoder: CLIPTextModel) -> None:
    tokenizer = own_tokenizer()
    plain = text.encode(["a red apple"], tokenizer, encoder, Reading())
    weighted = text.encode(["a (red:1.5) apple"], tokenizer, encoder, Reading(weighted=True))
    factors = torch.ones(77)
    factors[2] = 1.5  # begin, a, red
    assert torch.allclose(weighted, plain * factors[None, :, None], atol=1e-6)


def test_brackets_are_text_where_captions_are_not_weighted(encoder: CLIPTextModel) -> None:
    tokenizer = own_tokenizer()
    assert not torch.equal(
        text.encode(["(red)"], tokenizer, encoder, Reading()), text.encode(["red"], tokenizer, encoder, Reading())
    )


def test_without_padding_captions_are_as_long_as_the_longest_of_their_batch(
    encoder: CLIPTextModel, word_id: int
) -> None:
    """As diffusers' DreamBooth example reads them; what one caption says alone does not depend on padding behind it."""
    tokenizer, bare = own_tokenizer(), Reading(150, padded=False)
    captions = [WORD, " ".join([WORD] * 3)]
    ids, weights = text.tokenize(captions, tokenizer, bare)
    assert torch.equal(ids, tokenizer(captions, padding=True, return_tensors="pt").input_ids)
    assert weights.shape == ids.shape
    found = text.encode(captions, tokenizer, encoder, bare)
    assert torch.allclose(found, text.encode(captions, tokenizer, encoder, Reading())[:, :5], atol=1e-6)


@pytest.mark.parametrize(("words", "length", "expected"), [(0, 75, 0), (75, 225, 75), (76, 225, 150), (200, 150, 150)])
def test_without_padding_long_captions_fill_whole_pieces(words: int, length: int, expected: int) -> None:
    ids, _ = text.tokenize([" ".join([WORD] * words)], own_tokenizer(), Reading(length, padded=False))
    assert ids.shape == (1, expected + 2)
