"""Latents encoded once and kept, in memory or in files beside the images.

What is kept is known by a key of everything that feeds it: the image file's content, size and cut, the mask, and the VAE's
weights. A file with another key is encoded anew, so that nothing is ever stale.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import draws
from . import images
from .cache_files import CacheProblem, Kept, read, stored_key, write
from .hashes import Hashes
from .records import ImageRecord

VERSION = 1
Encode = Callable[[Tensor, list[torch.Generator]], Tensor]
"""Pictures BCHW (-1..1) and one generator for each -> unscaled latents BCHW."""
Report = Callable[[int, int], None]
"""Called with how many are done, of how many."""


@dataclass(frozen=True)
class World:
    """Which of several processes this is, and how it waits for the others."""

    rank: int = 0
    size: int = 1
    wait: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Vae:
    """What encodes. weights: a hash of its weights. batch_size: pictures encoded at once. family: part of file names."""

    encode: Encode
    weights: str
    family: str
    batch_size: int = 1


class LatentsCache:
    """Gives back what `fill` has kept."""

    def __init__(self, vae: Vae, on_disk: bool, trusting: bool = False) -> None:
        self.on_disk = on_disk
        self._vae = vae
        self._trusting = trusting
        self._keys: dict[Cut, str] = {}
        self._kept: dict[str, Kept] = {}
        self._files: dict[str, Path] = {}
        self._taken: dict[Path, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """For workers, which only read."""
        return {**self.__dict__, "_vae": None}

    def get(self, record: ImageRecord) -> Kept:
        """Raises CacheProblem where its file was changed since."""
        key = self._keys[cut_of(record)]
        if not self.on_disk:
            return self._kept[key]
        kept = read(self._files[key], None if self._trusting else key)
        if kept is None:
            message = f"The file of cached latents {self._files[key]} was changed or removed while it was in use; start again."
            raise CacheProblem(message)
        return kept

    def content_key(self, record: ImageRecord) -> str:
        return self._keys[cut_of(record)]

    def fill(self, records: Iterable[ImageRecord], report: Report = lambda done, total: None, world: World | None = None) -> None:
        """Encodes what isn't kept yet. Raises BadImage, CacheProblem."""
        world = world or World()
        unique = {cut_of(record): record for record in records}
        ordered = sorted(unique.values(), key=lambda record: (record.bucket, str(record.path)))
        hashes = Hashes(self._trusting)
        missing = [record for record in ordered if self._is_missing(record, hashes)]
        hashes.save()
        mine = missing[world.rank :: world.size] if self.on_disk else missing
        done = 0
        for group in _batches(mine, self._vae.batch_size):
            self._encode(group)
            done += len(group)
            report(done, len(mine))
        world.wait()

    def _is_missing(self, record: ImageRecord, hashes: Hashes) -> bool:
        key = self._key(record, hashes)
        self._keys[cut_of(record)] = key
        if not self.on_disk:
            return key not in self._kept
        self._files[key] = file = self._file(record, key)
        return not (file.exists() and (self._trusting or stored_key(file) == key))

    def _key(self, record: ImageRecord, hashes: Hashes) -> str:
        data = record.subset.dataset
        facts = [
            VERSION, hashes.of(record.path), hashes.of(record.mask_path), self._vae.weights, data.alpha_mask, data.flip_aug,
            record.resize_to, record.crop, record.bucket, data.resize_interpolation,
        ]  # fmt: skip
        return hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()

    def _file(self, record: ImageRecord, key: str) -> Path:
        """The name that sd-scripts gives it; with the key where another image or size of this run has taken that name."""
        width, height = record.size
        name = f"{record.path.stem}_{width:04d}x{height:04d}"
        file = record.path.with_name(f"{name}_{self._vae.family}.npz")
        taken = self._taken.setdefault(file, key)
        return file if taken == key else record.path.with_name(f"{name}_{key[:8]}_{self._vae.family}.npz")

    def _encode(self, records: Sequence[ImageRecord]) -> None:
        shown = [images.show(record, None) for record in records]
        pixels_BCHW = torch.stack([images.to_tensor(one.pixels) for one in shown])
        keys = [self._keys[cut_of(record)] for record in records]
        latents_BCHW = self._encoded(pixels_BCHW, keys, "upright")
        flipped = records[0].subset.dataset.flip_aug
        mirrored_BCHW = self._encoded(pixels_BCHW.flip(3), keys, "mirrored") if flipped else None
        for place, (record, key, one) in enumerate(zip(records, keys, shown, strict=True)):
            mask = None if one.mask is None else torch.from_numpy(one.mask.copy())
            mirrored = None if mirrored_BCHW is None else mirrored_BCHW[place].clone()
            kept = Kept(latents_BCHW[place].clone(), mirrored, mask)
            if self.on_disk:
                write(self._files[key], key, record, kept)
            else:
                self._kept[key] = kept

    def _encoded(self, pixels_BCHW: Tensor, keys: list[str], side: str) -> Tensor:
        """The draw from the VAE's distribution depends on the image alone, so that it is the same in every run."""
        generators = [draws.generator(0, f"latents {side} {key}") for key in keys]
        latents_BCHW = self._vae.encode(pixels_BCHW, generators).detach().float().cpu()
        if not torch.isfinite(latents_BCHW).all():
            message = "The VAE gives latents that are not numbers; train with no_half_vae, or with another VAE."
            raise CacheProblem(message)
        return latents_BCHW


Cut = tuple[Any, ...]


def cut_of(record: ImageRecord) -> Cut:
    """What tells the latents of one record from those of another in a run."""
    data = record.subset.dataset
    shown = data.alpha_mask, data.flip_aug, data.resize_interpolation
    return (str(record.path), record.bucket, record.resize_to, record.crop, str(record.mask_path), *shown)


def _batches(records: Sequence[ImageRecord], size: int) -> Iterator[list[ImageRecord]]:
    """Records that can be encoded together: of one bucket, and all mirrored too or none."""
    group: list[ImageRecord] = []
    for record in records:
        alike = group and record.bucket == group[0].bucket and record.subset.dataset.flip_aug == group[0].subset.dataset.flip_aug
        if group and (not alike or len(group) == size):
            yield group
            group = []
        group.append(record)
    if group:
        yield group


def hash_of(module: torch.nn.Module) -> str:
    """Of a network's weights, whatever device and precision they are in now."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
