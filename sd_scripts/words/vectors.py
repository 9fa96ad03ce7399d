"""Vectors of new words in a text encoder that is otherwise left as it is.

Shapes: L layers of the U-Net that read captions in their own way (1 where they all read the same), V vectors, D
channels, B captions, T tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Vectors(nn.Module):
    """What is looked up for the token ids from `first` on; those below find what they always did, bit for bit."""

    def __init__(self, start_LVD: Tensor, embedding: nn.Embedding) -> None:
        super().__init__()
        self.weight = nn.Parameter(start_LVD)
        self.first = embedding.num_embeddings
        self._embedding = (embedding,)  # in a tuple, so that it does not become a part of this module

    def attach(self) -> None:
        self._embedding[0].forward = self.look_up  # type: ignore[method-assign]

    def look_up(self, ids_BT: Tensor) -> Tensor:
        """(B, T) -> (B, T, D). With several layers the captions come L times: first all for the first layer."""
        layers, count, _ = self.weight.shape
        is_new_BT = ids_BT >= self.first
        known_BTD = F.embedding(ids_BT.masked_fill(is_new_BT, 0), self._embedding[0].weight)
        layer_B = torch.arange(len(ids_BT), device=ids_BT.device) // (len(ids_BT) // layers)
        place_BT = (ids_BT - self.first).clamp(min=0) + layer_B[:, None] * count
        new_BTD = F.embedding(place_BT, self.weight.flatten(0, 1))
        return torch.where(is_new_BT[..., None], new_BTD.to(known_BTD.dtype), known_BTD)


def repeated(rows_VD: Tensor, count: int) -> Tensor:
    """`count` rows: these over and over, or the first of them."""
    return rows_VD[torch.arange(count) % len(rows_VD)]


def like(weight_VD: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(count, D) random vectors with the mean and spread of those that are there."""
    known = weight_VD.float()
    drawn = torch.randn((count, known.shape[1]), generator=generator)
    return known.mean(0).cpu() + drawn * known.std(0).cpu()
