"""Latents encoded once and kept, in memory or in files beside the images.

What is kept is known by a key of everything that feeds it: the image file's content, size and cut, the mask, and the
VAE's weights. A file with another key is encoded anew, so that nothing is ever stale.
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
    """What encodes. weights: a hash of its weights. batch_size: pictures encoded at once. family: part of file
    names."""

    encode: Encode
    weights: str
    family: str
    batch_size: int = 1


Cut = tuple[Any, ...]
"""What tells one record from another within a run."""


class LatentsCache:
    """Gives back what `fill` has kept."""

    def __init__(self, vae: Vae, on_disk: bool, trusting: bool = False) -> None:
        self.on_disk = on_disk
        self._vae = vae
        self._trusting = trusting
        self._keys: dict[Cut, str] = {}
        self._files: dict[Cut, Path] = {}
        self._taken: dict[Path, str] = {}
        self._kept: dict[str, Kept] = {}

    def __getstate__(self) -> dict[str, Any]:
        """For workers, which only read."""
        return {**self.__dict__, "_vae": None}

    def get(self, record: ImageRecord) -> Kept:
        """Raises CacheProblem where its file was changed since."""
        cut = cut_of(record)
        if not self.on_disk:
            return self._kept[self._keys[cut]]
        kept = read(self._files[cut], None if self._trusting else self._keys[cut])
        if kept is None:
            file = self._files[cut]
            raise CacheProblem(f"The cached latents in {file} were changed or removed during the run; start again.")
        return kept

    def fill(
        self,
        records: Iterable[ImageRecord],
        report: Report = lambda done, total: None,
        world: World | None = None,
    ) -> None:
        """Encodes what isn't kept yet. Processes share the work of filling files. Raises BadImage, CacheProblem."""
        world = world or World()
        unique = {cut_of(record): record for record in records}
        ordered = sorted(unique.values(), key=lambda record: (record.bucket, record.picture.file))
        hashes = Hashes(self._trusting)
        missing = [record for record in ordered if self._is_missing(record, hashes)]
        hashes.save()
        world.wait()  # all must see the same files missing, or some would be encoded by nobody
        mine = missing[world.rank :: world.size] if self.on_disk else missing
        done = 0
        for group in _groups(mine, self._vae.batch_size):
            self._encode(group)
            done += len(group)
            report(done, len(mine))
        world.wait()

    def _is_missing(self, record: ImageRecord, hashes: Hashes) -> bool:
        cut = cut_of(record)
        self._keys[cut] = key = self._key(record, hashes)
        if not self.on_disk:
            return key not in self._kept
        self._files[cut] = file = self._file(record, key)
        return not (file.exists() and (self._trusting or stored_key(file) == key))

    def _key(self, record: ImageRecord, hashes: Hashes) -> str:
        data = record.subset.dataset
        facts = [
            VERSION, hashes.of(record.path), hashes.of(record.mask_path), self._vae.weights, data.alpha_mask,
            data.flip_aug, record.resize_to, record.crop, record.bucket, data.resize_interpolation,
        ]  # fmt: skip
        return hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()

    def _file(self, record: ImageRecord, key: str) -> Path:
        """The name that sd-scripts gives it; with the key where this run keeps another cut under that name."""
        width, height = record.size
        name = f"{record.path.stem}_{width:04d}x{height:04d}"
        file = record.path.with_name(f"{name}_{self._vae.family}.npz")
        if self._taken.setdefault(file, key) == key:
            return file
        return record.path.with_name(f"{name}_{key[:8]}_{self._vae.family}.npz")

    def _encode(self, records: Sequence[ImageRecord]) -> None:
        shown = [images.show(record, None) for record in records]
        pixels_BCHW = torch.stack([images.to_tensor(one.pixels) for one in shown])
        keys = [self._keys[cut_of(record)] for record in records]
        latents_BCHW = self._encoded(pixels_BCHW, keys, "upright")
        flipped = records[0].subset.dataset.flip_aug
        mirrored_BCHW = self._encoded(pixels_BCHW.flip(3), keys, "mirrored") if flipped else None
        for place, (record, one) in enumerate(zip(records, shown, strict=True)):
            mask = None if one.mask is None else torch.from_numpy(one.mask.copy())
            mirrored = None if mirrored_BCHW is None else mirrored_BCHW[place].clone()
            self._keep(record, Kept(latents_BCHW[place].clone(), mirrored, mask))

    def _keep(self, record: ImageRecord, kept: Kept) -> None:
        cut = cut_of(record)
        if self.on_disk:
            write(self._files[cut], self._keys[cut], record, kept)
        else:
            self._kept[self._keys[cut]] = kept

    def _encoded(self, pixels_BCHW: Tensor, keys: list[str], side: str) -> Tensor:
        """The draw from the VAE's distribution depends on the image alone, so that it is the same in every run."""
        generators = [draws.generator(0, f"latents {side} {key}") for key in keys]
        latents_BCHW = self._vae.encode(pixels_BCHW, generators).detach().float().cpu()
        if not torch.isfinite(latents_BCHW).all():
            message = "The VAE gives latents that are not numbers; train with no_half_vae, or with another VAE."
            raise CacheProblem(message)
        return latents_BCHW


def cut_of(record: ImageRecord) -> Cut:
    data = record.subset.dataset
    shown = data.alpha_mask, data.flip_aug, data.resize_interpolation
    return (record.picture.file, record.bucket, record.resize_to, record.crop, str(record.mask_path), *shown)


def _groups(records: Sequence[ImageRecord], size: int) -> Iterator[list[ImageRecord]]:
    """Records that can be encoded together: of one bucket, and all mirrored too or none."""
    group: list[ImageRecord] = []
    for record in records:
        alike = (
            group
            and record.bucket == group[0].bucket
            and record.subset.dataset.flip_aug == group[0].subset.dataset.flip_aug
        )
        if group and (not alike or len(group) == size):
            yield group
            group = []
        group.append(record)
    if group:
        yield group
