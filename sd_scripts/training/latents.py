"""The cache of latents for a run: the family's VAE and the data's records brought together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..config.dataset import DatasetConfig
from ..data.cache import LatentsCache, Vae, World

if TYPE_CHECKING:
    from ..data.records import ImageRecord
    from ..families.base import ModelFamily


def filled(
    family: ModelFamily,
    config: DatasetConfig,
    records: Iterable[ImageRecord],
    report: Callable[[int, int], None],
    world: World,
) -> LatentsCache | None:
    """None where latents are encoded anew in each step."""
    if not config.caches_latents:
        return None
    vae = Vae(encode_with(family), weights_hash(family.vae), family.name, config.vae_batch_size)
    cache = LatentsCache(vae, config.cache_latents_to_disk, config.skip_cache_check)
    cache.fill(records, report, world)
    return cache


def encode_with(family: ModelFamily) -> Callable[[Tensor, list[torch.Generator]], Tensor]:
    return lambda pixels_BCHW, generators: family.encode_images(pixels_BCHW, generators)


def weights_hash(network: nn.Module) -> str:
    """Of all weights and the dtype they compute in, which both decide what the latents are."""
    known = hashlib.blake2b(digest_size=16)
    for name, tensor in network.state_dict().items():
        known.update(f"{name} {tensor.dtype}".encode())
        known.update(_bytes(tensor))
    return known.hexdigest()


def _bytes(tensor: Tensor) -> Any:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
