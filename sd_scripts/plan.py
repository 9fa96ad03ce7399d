"""What a training run will do, worked out before anything is loaded: images, sizes, batches, steps. No torch."""

from __future__ import annotations

import gc
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from .config.optimizer import steps_of
from .config.saving import SavingConfig
from .config.schema import Notice, Problem
from .config.train_config import TrainConfig
from .data import layout, sentences, tables
from .data.gather import DatasetSettings, Split, gather
from .data.records import PlannedDataset, Subset


@dataclass(frozen=True)
class Plan:
    """batches_per_epoch: of all processes together. steps_per_epoch: changes of the weights, the same in each
    process. skipped: of total_steps, those that count as done."""

    datasets: tuple[PlannedDataset, ...]
    problems: tuple[Problem, ...]
    accumulation: int
    processes: int
    epochs: int
    total_steps: int
    warmup_steps: int
    steps_given: bool  # the number of steps was given, not that of epochs
    skipped: int = 0

    @property
    def num_train_images(self) -> int:
        """Repeats counted, regularization images not."""
        return sum(record.repeats for data in self.datasets for record in data.records if not record.is_reg)

    @property
    def num_reg_images(self) -> int:
        """Repeats counted."""
        return sum(record.repeats for data in self.datasets for record in data.records if record.is_reg)

    @property
    def num_validation_images(self) -> int:
        return sum(len(data.validation) for data in self.datasets)

    @property
    def batches_per_epoch(self) -> int:
        return sum(data.batches for data in self.datasets)

    @property
    def batches_per_process(self) -> int:
        """An epoch's batches of one process; where they don't divide evenly, the last ones of some count nothing."""
        return math.ceil(self.batches_per_epoch / self.processes)

    @property
    def steps_per_epoch(self) -> int:
        """The last step of an epoch takes what batches are left."""
        return math.ceil(self.batches_per_process / self.accumulation)

    @property
    def sum_text(self) -> str:
        """The sum that leads to the number of steps, in words."""
        if not self.batches_per_epoch:
            return "no images"
        return "; ".join([self._samples(), self._batches(), self._steps()])

    def _samples(self) -> str:
        parts = [_counted(data, is_reg) for data in self.datasets for is_reg in (False, True) if _has(data, is_reg)]
        total = self.num_train_images + self.num_reg_images
        return f"{' + '.join(parts)} = {_many(total, 'sample')}"

    def _batches(self) -> str:
        sizes = {data.batch_size for data in self.datasets}
        total = _many(self.batches_per_epoch, "batch", "batches")
        samples = self.num_train_images + self.num_reg_images
        buckets = sum(len(data.buckets) for data in self.datasets)
        even = len(sizes) == 1 and math.ceil(samples / next(iter(sizes))) == self.batches_per_epoch
        by = " and ".join(map(str, sorted(sizes)))
        text = f"{samples} / batch {by}" + ("" if even else f" in {buckets} buckets") + f" = {total} an epoch"
        if self.processes > 1:
            text += f"; {self.batches_per_epoch} / {self.processes} processes = {self.batches_per_process} each"
        return text

    def _steps(self) -> str:
        each = self.batches_per_process
        without = f", of which {self.skipped} are skipped" if self.skipped else ""
        if self.steps_given:
            in_epochs = f"{each} / {self.accumulation} accumulation = {_many(self.steps_per_epoch, 'step')} an epoch"
            return f"{in_epochs}; {_many(self.total_steps, 'step')} in {_many(self.epochs, 'epoch')}{without}"
        in_all = f"{_many(self.epochs, 'epoch')} = {_many(self.total_steps, 'step')}{without}"
        return f"{each} / {self.accumulation} accumulation x {in_all}"


def _has(data: PlannedDataset, is_reg: bool) -> bool:
    return any(record.is_reg == is_reg for record in data.records)


def _counted(data: PlannedDataset, is_reg: bool) -> str:
    """`10 images x 20 repeats + 3 images x 1 repeat`."""
    counts = Counter(record.repeats for record in data.records if record.is_reg == is_reg)
    noun = "regularization image" if is_reg else "image"
    return " + ".join(f"{_many(count, noun)} x {_many(repeats, 'repeat')}" for repeats, count in counts.items())


def _many(count: int, noun: str, plural: str | None = None) -> str:
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def make(config: TrainConfig) -> Plan:
    """Looks at the images. The plan's problems say all that is wrong with the data."""
    datasets: list[PlannedDataset] = []
    with _uninterrupted():
        settings, problems = _settings(config)
        for each in settings:
            planned, found = gather(each)
            datasets.append(planned)
            problems += found
    problems += [*_masks(config, datasets), *_replaced(config.named().saving)]
    words = config.method_kind.words(config)
    if words:
        problems += sentences.problems(words, datasets)
    if not any(data.records for data in datasets) and not any(problem.stops for problem in problems):
        problems.append(Problem("train_data_dir", "There is nothing to train; give at least one training image."))
    plan = Plan(
        tuple(datasets), tuple(dict.fromkeys(problems)), config.training.gradient_accumulation_steps,
        config.launch.num_processes, 0, 0, 0, config.training.max_train_epochs is None,
    )  # fmt: skip
    return _with_steps(plan, config)


def _replaced(saving: SavingConfig) -> Iterator[Problem]:
    """What was trained before under the same name is lost; going on with a training is meant to replace it."""
    file = Path(saving.output_dir) / (saving.stem + saving.extension)
    if file.exists() and not saving.resume:
        yield Notice("output_name", f"{file} exists and will be replaced; choose another name to keep both.")


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Without the garbage collector, which would search hundreds of thousands of new records again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.freeze()  # or turning it on would search all of them at once
            gc.enable()
            gc.unfreeze()


def _with_steps(plan: Plan, config: TrainConfig) -> Plan:
    each = plan.steps_per_epoch
    if not each:
        return plan
    epochs = config.training.max_train_epochs or math.ceil(config.training.max_train_steps / each)
    total = config.training.max_train_steps if plan.steps_given else epochs * each
    skips = config.training.skip_until_initial_step and not config.saving.resume  # a state says it itself
    planned = replace(
        plan, epochs=epochs, total_steps=total, warmup_steps=steps_of(config.optimizer.lr_warmup_steps, total),
        skipped=config.training.first_step(each) if skips else 0,
    )  # fmt: skip
    return replace(planned, problems=(*plan.problems, *_after_the_end(planned, config)))


def _after_the_end(plan: Plan, config: TrainConfig) -> Iterator[Problem]:
    """What is set to come later than the training ends."""
    if plan.warmup_steps >= plan.total_steps:
        steps = _many(plan.total_steps, "step")
        yield Notice("lr_warmup_steps", f"The training ends after {steps}, before the full learning rate is reached.")
    if plan.skipped >= plan.total_steps:
        key = "initial_step" if config.training.initial_step else "initial_epoch"
        steps = _many(plan.total_steps, "step")
        yield Problem(key, f"The training ends after {steps}, so skipping {plan.skipped} leaves nothing to train.")
    for group, what in ((config.saving, "save"), (config.sampling, "sample")):
        for unit, end in (("step", plan.total_steps), ("epoch", plan.epochs)):
            key = f"{what}_every_n_{unit}s"
            if (getattr(group, key) or 0) > end:
                yield Notice(key, f"The training ends after {_many(end, unit)}, before it comes to this.")


def _settings(config: TrainConfig) -> tuple[list[DatasetSettings], list[Problem]]:
    """Where the images are, by whichever of the three ways was chosen."""
    if config.dataset.dataset_config:
        return tables.read(Path(config.dataset.dataset_config), config)
    subsets, problems = _metadata(config) if config.dataset.in_json else _folders(config)
    return [DatasetSettings(config.dataset, tuple(subsets), split_of(config))], problems


def split_of(config: TrainConfig) -> Split:
    training = config.training
    seed = training.seed if training.validation_seed is None else training.validation_seed
    return Split(training.validation_split, seed or 0)


def _metadata(config: TrainConfig) -> tuple[list[Subset], list[Problem]]:
    data = config.dataset
    assert data.in_json is not None
    folder = Path(data.train_data_dir) if data.train_data_dir else None
    problems: list[Problem] = []
    if data.reg_data_dir:
        problems.append(
            Problem("reg_data_dir", "A metadata file knows no regularization images; take one of the two out.")
        )
    subset = Subset(
        "in_json",
        data,
        config.captions,
        folder,
        Path(data.in_json),
        repeats=data.dataset_repeats,
        masked=config.loss.masked_loss,
    )
    return [subset], problems


def _folders(config: TrainConfig) -> tuple[list[Subset], list[Problem]]:
    data = config.dataset
    if not data.train_data_dir:
        message = "It is empty; choose the folder that holds the folders of training images, or give a dataset_config."
        return [], [Problem("train_data_dir", message)]
    subsets, problems = layout.subsets_in(Path(data.train_data_dir), "train_data_dir", data, config.captions)
    if data.reg_data_dir:
        others, found = layout.subsets_in(Path(data.reg_data_dir), "reg_data_dir", data, config.captions, is_reg=True)
        subsets, problems = [*subsets, *others], [*problems, *found]
    return [replace(subset, masked=config.loss.masked_loss) for subset in subsets], problems


def _masks(config: TrainConfig, datasets: Sequence[PlannedDataset]) -> list[Problem]:
    data, subsets = config.dataset, [subset for planned in datasets for subset in planned.subsets]
    if data.conditioning_data_dir and not config.loss.masked_loss:
        return [Problem("conditioning_data_dir", "Masks need masked_loss; turn it on or leave the mask folder empty.")]
    have_masks = any(subset.mask_dir or subset.dataset.alpha_mask for subset in subsets)
    if config.loss.masked_loss and subsets and not have_masks:
        return [Notice("masked_loss", "It has no effect without conditioning_data_dir or alpha_mask.")]
    return []
