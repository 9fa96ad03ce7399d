"""Captions -> tokens -> hidden states, for CLIP text encoders that read 77 tokens at a time.

Shapes: B captions, N chunks a caption, T tokens, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .emphasis import read_emphasis

CHUNK = 75
"""Tokens of a caption that are encoded at once, between a begin and an end token."""


@dataclass(frozen=True)
class Reading:
    """How captions are read. length: 75, 150 or 225 tokens. clip_skip: which layer's output counts, 1 for the last.
    normalized: it goes through the final normalization, which the last layer's always does. padded: captions are filled
    up to `length`, and not only to the longest that is read with them."""

    length: int = CHUNK
    clip_skip: int = 1
    weighted: bool = False
    normalized: bool = True
    padded: bool = True


def tokenize(captions: Sequence[str], tokenizer: Any, reading: Reading) -> tuple[Tensor, Tensor]:
    """Token ids and weights, both (B, length + 2): begin, up to `length` tokens, end, padding."""
    rows = [_tokens(caption, tokenizer, reading) for caption in captions]
    length = reading.length if reading.padded else _least(max(len(ids) for ids, _ in rows), reading.length)
    begin, end, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    filled = [[begin, *ids, end, *[pad] * (length - len(ids))] for ids, _ in rows]
    weighted = [[1.0, *weights, 1.0, *[1.0] * (length - len(weights))] for _, weights in rows]
    return torch.tensor(filled), torch.tensor(weighted)


def _least(longest: int, length: int) -> int:
    """To which number of tokens all captions of a batch are brought: whole chunks where one is not enough."""
    return longest if longest <= CHUNK else min(length, -(-longest // CHUNK) * CHUNK)


def _tokens(caption: str, tokenizer: Any, reading: Reading) -> tuple[list[int], list[float]]:
    """A caption's own tokens, as many as are read, and their weights."""
    pieces = read_emphasis(caption) if reading.weighted else [(caption, 1.0)]
    ids: list[int] = []
    weights: list[float] = []
    for text, weight in pieces:
        found = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        ids += found
        weights += [weight] * len(found)
    return ids[: reading.length], weights[: reading.length]


def chunks(ids_BT: Tensor, eos: int, pad: int) -> Tensor:
    """(B, 75 n + 2) -> (B, n, 77): each chunk between the caption's begin token and its last token.

    Where padding is not the end token (SD 2), a chunk that text runs through ends with the end token, and a chunk of
    padding alone begins with it, so that each holds one.
    """
    if ids_BT.shape[1] <= CHUNK + 2:
        return ids_BT[:, None]
    begin, last = ids_BT[:, :1], ids_BT[:, -1:]
    pieces = [torch.cat([begin, ids_BT[:, i : i + CHUNK], last], 1) for i in range(1, ids_BT.shape[1] - 1, CHUNK)]
    ids_BNT = torch.stack(pieces, 1)
    if pad != eos and len(pieces) > 1:
        runs_through = (ids_BNT[..., -2] != eos) & (ids_BNT[..., -2] != pad)
        ids_BNT[..., -1] = torch.where(runs_through, eos, ids_BNT[..., -1])
        ids_BNT[..., 1] = torch.where(ids_BNT[..., 1] == pad, eos, ids_BNT[..., 1])
    return ids_BNT


def join(hidden_BNTC: Tensor) -> Tensor:
    """(B, n, 77, C) -> (B, 75 n + 2, C): the first chunk's begin, every chunk's text, the last chunk's end."""
    inner_BTC = hidden_BNTC[:, :, 1:-1].flatten(1, 2)
    return torch.cat([hidden_BNTC[:, 0, :1], inner_BTC, hidden_BNTC[:, -1, -1:]], 1)


def encode(captions: Sequence[str], tokenizer: Any, text_encoder: Any, reading: Reading) -> Tensor:
    """(B, length + 2, C), shorter without padding.

    Emphasis multiplies hidden states token by token, and their mean is not restored.
    """
    ids_BNT, weights_BT = _chunked(captions, tokenizer, reading)
    deep = reading.clip_skip > 1
    output = text_encoder(ids_BNT.flatten(0, 1).to(_device(text_encoder)), output_hidden_states=deep)
    return _joined(_states(output, text_encoder, reading), ids_BNT, weights_BT, reading)


def encode_and_sum_up(
    captions: Sequence[str], tokenizer: Any, text_encoder: Any, reading: Reading
) -> tuple[Tensor, Tensor]:
    """As `encode`, and (B, D): the projection of each caption's first end token, in its first chunk.

    The library looks for the token of the highest number instead, which would find words that were added.
    """
    ids_BNT, weights_BT = _chunked(captions, tokenizer, reading)
    output = text_encoder(ids_BNT.flatten(0, 1).to(_device(text_encoder)), output_hidden_states=True)
    first_BTC = output.last_hidden_state.unflatten(0, ids_BNT.shape[:2])[:, 0]
    ends_B = (ids_BNT[:, 0, 1:] == tokenizer.eos_token_id).int().argmax(1) + 1
    rows_B = torch.arange(len(captions))
    pooled_BD = text_encoder.text_projection(first_BTC[rows_B, ends_B])
    return _joined(_states(output, text_encoder, reading), ids_BNT, weights_BT, reading), pooled_BD


def _device(text_encoder: Any) -> torch.device:
    return next(text_encoder.parameters()).device


def _chunked(captions: Sequence[str], tokenizer: Any, reading: Reading) -> tuple[Tensor, Tensor]:
    ids_BT, weights_BT = tokenize(captions, tokenizer, reading)
    return chunks(ids_BT, tokenizer.eos_token_id, tokenizer.pad_token_id), weights_BT


def _states(output: Any, text_encoder: Any, reading: Reading) -> Tensor:
    """The states of the layer that counts, (B n, 77, C)."""
    if reading.clip_skip == 1:
        return output.last_hidden_state
    states = output.hidden_states[-reading.clip_skip]
    if not reading.normalized:
        return states
    return getattr(text_encoder, "text_model", text_encoder).final_layer_norm(states)


def _joined(states: Tensor, ids_BNT: Tensor, weights_BT: Tensor, reading: Reading) -> Tensor:
    joined_BTC = join(states.unflatten(0, ids_BNT.shape[:2]))
    return joined_BTC * weights_BT.to(joined_BTC)[..., None] if reading.weighted else joined_BTC
