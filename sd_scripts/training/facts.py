"""What a trained file tells about its training: the plan, the images and the optimizer, in the words of its
metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from .. import draws
from ..adapters.facts import DatasetFacts, SubsetFacts, TrainingFacts
from ..config.train_config import TrainConfig
from ..data.records import ImageRecord, PlannedDataset, Subset
from ..plan import Plan


def of_training(config: TrainConfig, plan: Plan, optimizer: Any, processes: int) -> TrainingFacts:
    seed = config.training.seed
    assert seed is not None
    return TrainingFacts(
        session_id=draws.number(seed, "session") >> 31,
        seed=seed,
        num_train_images=plan.num_train_images,
        num_validation_images=plan.num_validation_images,
        num_reg_images=plan.num_reg_images,
        num_batches_per_epoch=plan.batches_per_epoch,
        num_epochs=plan.epochs,
        total_steps=plan.total_steps,
        processes=processes,
        optimizer=in_words(optimizer, config.optimizer.optimizer_args),
        datasets=tuple(map(_of_dataset, plan.datasets)),
        from_dataset_config=bool(config.dataset.dataset_config),
    )


def in_words(optimizer: Any, arguments: tuple[str, ...]) -> str:
    """`module.Class(k=v,...)`"""
    kind = getattr(optimizer, "kind", type(optimizer))
    return f"{kind.__module__}.{kind.__name__}({','.join(arguments)})"


def _of_dataset(data: PlannedDataset) -> DatasetFacts:
    return DatasetFacts(
        resolution=data.config.size,
        batch_size=data.batch_size,
        subsets=tuple(_of_subset(subset, data) for subset in data.subsets),
        settings=data.config.model_dump(),
        tag_frequency=_tag_frequency(data),
        bucket_counts=data.buckets,
        mean_aspect_error=_mean_aspect_error(data),
        train_images=sum(record.repeats for record in data.records if not record.is_reg),
        reg_images=sum(record.repeats for record in data.records if record.is_reg),
    )


def _records(subset: Subset, data: PlannedDataset) -> list[ImageRecord]:
    return [record for record in data.records if record.subset is subset]


def _of_subset(subset: Subset, data: PlannedDataset) -> SubsetFacts:
    return SubsetFacts(
        folder=subset.name,
        images=len(_records(subset, data)),
        repeats=subset.repeats,
        is_reg=subset.is_reg,
        class_tokens=subset.class_tokens,
        metadata_file=subset.metadata_file.name if subset.metadata_file else None,
        settings={**subset.dataset.model_dump(), **subset.captions.model_dump()},
    )


def _tag_frequency(data: PlannedDataset) -> Mapping[str, Mapping[str, int]]:
    """Over images, not over repeats."""
    counts: dict[str, Counter[str]] = {}
    for record in data.records:
        of_folder = counts.setdefault(record.subset.name, Counter())
        for caption in record.captions:
            of_folder.update(part.strip().lower() for part in caption.split(",") if part.strip())
    return counts


def _mean_aspect_error(data: PlannedDataset) -> float:
    errors = [abs(r.bucket[0] / r.bucket[1] - r.size[0] / r.size[1]) for r in data.records for _ in range(r.repeats)]
    return sum(errors) / len(errors) if errors else 0.0
