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
    """How captions are read. length: 75, 150 or 225 tokens. clip_skip: which layer's output counts, 1 for the last."""

    length: int = CHUNK
    clip_skip: int = 1
    weighted: bool = False


def tokenize(captions: Sequence[str], tokenizer: Any, reading: Reading) -> tuple[Tensor, Tensor]:
    """Token ids and weights, both (B, length + 2): begin, up to `length` tokens, end, padding."""
    rows = [_tokens(caption, tokenizer, reading) for caption in captions]
    return torch.tensor([ids for ids, _ in rows]), torch.tensor([weights for _, weights in rows])


def _tokens(caption: str, tokenizer: Any, reading: Reading) -> tuple[list[int], list[float]]:
    pieces = read_emphasis(caption) if reading.weighted else [(caption, 1.0)]
    ids: list[int] = []
    weights: list[float] = []
    for text, weight in pieces:
        found = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        ids += found
        weights += [weight] * len(found)
    ids, weights = ids[: reading.length], weights[: reading.length]
    missing = reading.length - len(ids)
    ids = [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id, *[tokenizer.pad_token_id] * missing]
    return ids, [1.0, *weights, 1.0, *[1.0] * missing]


def chunks(ids_BT: Tensor, eos: int, pad: int) -> Tensor:
    """(B, 75 n + 2) -> (B, n, 77): each chunk between the caption's begin token and its last token.

    Where padding is not the end token (SD 2), a chunk that text runs through ends with the end token, and a chunk of
    padding alone begins with it, so that each holds one.
    """
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


def hidden_states(text_encoder: Any, ids_BT: Tensor, clip_skip: int) -> Tensor:
    """(B, 77) -> (B, 77, C): the output of the layer `clip_skip` from the end, through the final normalization."""
    if clip_skip == 1:
        return text_encoder(ids_BT).last_hidden_state
    hidden = text_encoder(ids_BT, output_hidden_states=True).hidden_states[-clip_skip]
    return getattr(text_encoder, "text_model", text_encoder).final_layer_norm(hidden)


def encode(captions: Sequence[str], tokenizer: Any, text_encoder: Any, reading: Reading) -> Tensor:
    """(B, length + 2, C). Emphasis multiplies hidden states token by token, and their mean is not restored."""
    device = next(text_encoder.parameters()).device
    ids_BT, weights_BT = tokenize(captions, tokenizer, reading)
    ids_BNT = chunks(ids_BT, tokenizer.eos_token_id, tokenizer.pad_token_id)
    hidden = hidden_states(text_encoder, ids_BNT.flatten(0, 1).to(device), reading.clip_skip)
    joined_BTC = join(hidden.unflatten(0, ids_BNT.shape[:2]))
    return joined_BTC * weights_BT.to(joined_BTC)[..., None] if reading.weighted else joined_BTC
