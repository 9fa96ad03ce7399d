"""Batches, in an order and with draws that follow from the seed, the epoch and the place alone.

Nothing here has a state: any process can make any batch of any epoch. Workers, resuming and several processes therefore
can't change what is trained.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .. import draws
from ..config.textual_inversion import TextualInversionConfig
from ..config.train_config import TrainConfig
from ..errors import UserError
from ..plan import Plan
from . import captions, images, sentences
from .buckets import conditioning_crop
from .cache import LatentsCache, World
from .images import Draws
from .order import Order, Place
from .records import ImageRecord, PlannedDataset

Where = tuple[int, int]  # epoch, position: the number of a batch in its epoch; both from 0


@dataclass
class Batch:
    """Samples of one size. B samples, C channels, H and W height and width in pixels (masks, pixels) or of latents.

    weights_B: 1, or prior_loss_weight; 0 for samples that only keep this process in step with the others.
    epoch, position: all draws for the batch follow from them.
    attributes: what a dataset file says about the images beyond the settings.
    share: what weights_B are multiplied by so that the mean over processes is right where some have no batch left.
    """

    captions: list[str]
    pixels_BCHW: Tensor | None
    latents_BCHW: Tensor | None
    weights_B: Tensor
    masks_B1HW: Tensor | None
    original_sizes_hw: list[tuple[int, int]]
    crop_top_lefts: list[tuple[int, int]]
    target_sizes_hw: list[tuple[int, int]]
    image_keys: list[str]
    epoch: int
    position: int
    attributes: list[Mapping[str, Any]]
    share: float = 1.0


@dataclass(frozen=True)
class Sample:
    """One image as it is trained once."""

    record: ImageRecord
    caption: str
    pixels_CHW: Tensor | None
    latents_CHW: Tensor | None
    mask_1HW: Tensor | None
    weight: float


@dataclass(frozen=True)
class Rules:
    """What the making of batches depends on besides the images. accumulation: batches for one step."""

    seed: int
    accumulation: int
    total_steps: int
    prior_loss_weight: float
    words: TextualInversionConfig | None = None
    varied: bool = True  # False for validation: nothing is drawn


class Batches:
    """The batches of one process."""

    def __init__(self, maker: BatchMaker, world: World, workers: int, persistent: bool) -> None:
        self._maker = maker
        self._world = world
        self._workers = workers
        self._persistent = persistent
        self.total_per_epoch = maker.order.count
        self.per_epoch = math.ceil(self.total_per_epoch / world.size)

    def after(self, epoch: int, batches_done: int) -> Iterator[Batch]:
        """What follows `epoch` whole epochs and `batches_done` batches of the next. It never ends."""
        if not self.per_epoch:
            return
        if self._persistent:
            yield from self._loaded(self._places(epoch, batches_done))
        while True:
            yield from self._loaded(self._places(epoch, batches_done, only_one_epoch=True))
            epoch, batches_done = epoch + 1, 0

    def _places(self, epoch: int, done: int, only_one_epoch: bool = False) -> Iterator[Where]:
        while True:
            for own in range(done, self.per_epoch):
                yield epoch, own * self._world.size + self._world.rank
            if only_one_epoch:
                return
            epoch, done = epoch + 1, 0

    def _loaded(self, places: Iterator[Where]) -> Iterator[Batch]:
        if not self._workers:
            yield from map(self._maker.make, places)
            return
        made = DataLoader(_Made(self._maker), batch_size=None, sampler=_Endless(places), num_workers=self._workers)
        for batch in made:
            if isinstance(batch, UserError):
                raise batch
            yield batch


class _Made(Dataset[Any]):
    """The loader's view: a place is an index.

    A UserError is handed over as it is, because the loader would put a worker's traceback around its sentence.
    """

    def __init__(self, maker: BatchMaker) -> None:
        self._maker = maker

    def __getitem__(self, where: Where) -> Batch | UserError:
        try:
            return self._maker.make(where)
        except UserError as error:
            return error


class _Endless(torch.utils.data.Sampler[Where]):
    def __init__(self, places: Iterator[Where]) -> None:
        self._places = places

    def __iter__(self) -> Iterator[Where]:
        return self._places


class BatchMaker:
    """(epoch, position) -> Batch, whichever process asks."""

    def __init__(
        self, datasets: tuple[PlannedDataset, ...], rules: Rules, latents: LatentsCache | None, world: World
    ) -> None:
        self.order = Order(datasets, rules.seed, rules.varied)
        self._datasets = datasets
        self._rules = rules
        self._latents = latents
        self._processes = world.size

    def make(self, where: Where) -> Batch:
        epoch, position = where
        batches = self.order.epoch(epoch)
        places = batches[position % len(batches)]
        samples = [self._sample(place, (epoch, position, number)) for number, place in enumerate(places)]
        share = self._share(position)
        return _together(samples, share, where)

    def _share(self, position: int) -> float:
        """What the batch's weights are multiplied by, so that the mean over processes is that of the true batches.

        Where an epoch's batches don't divide by the processes, some processes get a batch again that counts nothing.
        """
        true = min(self.order.count - position // self._processes * self._processes, self._processes)
        return self._processes / true if position < self.order.count else 0.0

    def _sample(self, place: Place, at: tuple[int, int, int]) -> Sample:
        record = self._datasets[place.dataset].records[place.record]
        data = record.subset.dataset
        flip = self._rules.varied and data.flip_aug and self._rng("flip", at).random() < 0.5
        weight = self._rules.prior_loss_weight if record.is_reg else 1.0
        caption = self._caption(record, at)
        if self._latents is not None:
            kept = self._latents.get(record)
            latents = kept.flipped if flip and kept.flipped is not None else kept.latents
            mask = None if kept.mask is None else (kept.mask.flip(1) if flip else kept.mask).float()[None] / 255
            return Sample(record, caption, None, latents, mask, weight)
        drawn = Draws(self._rng("crop", at), self._rng("color", at), flip) if self._rules.varied else None
        shown = images.show(record, drawn)
        mask = None if shown.mask is None else images.mask_tensor(shown.mask)
        return Sample(record, caption, images.to_tensor(shown.pixels), None, mask, weight)

    def _caption(self, record: ImageRecord, at: tuple[int, int, int]) -> str:
        config = record.subset.captions
        lines = self._sentence(record, at) or record.captions
        if not self._rules.varied:
            return captions.plain(lines, config)
        epoch, position, _ = at
        own_batches = math.ceil(self.order.count / self._processes)
        steps_per_epoch = math.ceil(own_batches / self._rules.accumulation)
        step = epoch * steps_per_epoch + position // self._processes // self._rules.accumulation
        moment = captions.Moment(epoch + 1, step, self._rules.total_steps)
        return captions.process(lines, config, moment, self._rng("caption", at))

    def _sentence(self, record: ImageRecord, at: tuple[int, int, int]) -> tuple[str, ...]:
        words = self._rules.words
        if words is None or record.is_reg or not words.uses_sentences:
            return ()
        return (sentences.sentence(record, words, self._rng("sentence", at) if self._rules.varied else None),)

    def _rng(self, stream: str, at: tuple[int, int, int]) -> Any:
        return draws.python_rng(self._rules.seed, stream, *at)


def _together(samples: list[Sample], share: float, where: Where) -> Batch:
    records = [sample.record for sample in samples]
    masks = [sample.mask_1HW for sample in samples]
    width, height = records[0].bucket
    if any(mask is not None for mask in masks):
        masks = [torch.ones(1, height, width) if mask is None else mask for mask in masks]
    return Batch(
        captions=[sample.caption for sample in samples],
        pixels_BCHW=_stacked([sample.pixels_CHW for sample in samples]),
        latents_BCHW=_stacked([sample.latents_CHW for sample in samples]),
        weights_B=torch.tensor([sample.weight * share for sample in samples]),
        masks_B1HW=_stacked(masks),
        original_sizes_hw=[(record.size[1], record.size[0]) for record in records],
        crop_top_lefts=[conditioning_crop(record.size, record.bucket)[::-1] for record in records],
        target_sizes_hw=[(height, width)] * len(records),
        image_keys=[record.picture.file for record in records],
        epoch=where[0],
        position=where[1],
        attributes=[record.subset.attributes for record in records],
        share=share,
    )


def _stacked(tensors: list[Any]) -> Tensor | None:
    return None if tensors[0] is None else torch.stack(tensors)


def build(config: TrainConfig, plan: Plan, latents: LatentsCache | None = None, world: World | None = None) -> Batches:
    """The training batches. `latents`: filled with all of the plan's images, where they are cached."""
    world = world or World()
    rules = _rules(config, plan, varied=True)
    maker = BatchMaker(plan.datasets, rules, latents, world)
    return Batches(maker, world, _workers(config, latents), config.dataset.persistent_data_loader_workers)


def build_validation(
    config: TrainConfig, plan: Plan, latents: LatentsCache | None = None, world: World | None = None
) -> Batches | None:
    """The same batches in every epoch, of the images that are kept out of training; None where there are none."""
    held_out = tuple(
        PlannedDataset(data.config, data.subsets, data.validation) for data in plan.datasets if data.validation
    )
    if not held_out:
        return None
    world = world or World()
    return Batches(BatchMaker(held_out, _rules(config, plan, varied=False), latents, world), world, 0, persistent=False)


def records_of(plan: Plan) -> list[ImageRecord]:
    """All images of the plan, for caching."""
    return [record for data in plan.datasets for record in (*data.records, *data.validation)]


def _rules(config: TrainConfig, plan: Plan, varied: bool) -> Rules:
    words = config.method_kind.words(config)
    seed = config.training.seed or 0
    return Rules(seed, plan.accumulation, plan.total_steps, config.loss.prior_loss_weight, words, varied)


def _workers(config: TrainConfig, latents: LatentsCache | None) -> int:
    """Latents in memory need no one to prepare them."""
    if latents is not None and not latents.on_disk:
        return 0
    return min(config.dataset.max_data_loader_n_workers, os.cpu_count() or 1)
