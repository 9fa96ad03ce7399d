"""What only the training itself knows about a file that it saves."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def commit_of(repository: Path) -> str:
    """The commit that is checked out, as git's own files say it, or "(unknown)" outside of a clone."""
    try:
        head = (repository / ".git" / "HEAD").read_text(encoding="utf-8").strip()
        name = head.removeprefix("ref: ")
        return head if name == head else (repository / ".git" / name).read_text(encoding="utf-8").strip()
    except OSError:
        return "(unknown)"


@dataclass(frozen=True)
class SubsetFacts:
    """A folder of images, or a metadata file's images. settings: the subset's own settings, by their keys."""

    folder: str  # its name, without the path
    images: int
    repeats: int
    is_reg: bool = False
    class_tokens: str | None = None
    metadata_file: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetFacts:
    """tag_frequency: folder -> lower-case part of a caption -> count. bucket_counts: (width, height) -> images, repeats
    counted."""

    resolution: tuple[int, int]
    batch_size: int
    subsets: tuple[SubsetFacts, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    tag_frequency: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    bucket_counts: Mapping[tuple[int, int], int] = field(default_factory=dict)
    mean_aspect_error: float = 0.0
    train_images: int = 0
    reg_images: int = 0


@dataclass(frozen=True)
class TrainingFacts:
    """Counts are with repeats. optimizer: as `module.Class(k=v,...)`. from_dataset_config: the data sets were given
    in a file of their own."""

    session_id: int = 0
    started_at: float = field(default_factory=time.time)
    seed: int | None = None
    num_train_images: int = 0
    num_validation_images: int = 0
    num_reg_images: int = 0
    num_batches_per_epoch: int = 0
    num_epochs: int = 0
    total_steps: int = 0
    processes: int = 1
    optimizer: str = ""
    commit: str = field(default_factory=lambda: commit_of(Path(__file__).resolve().parents[2]))
    datasets: tuple[DatasetFacts, ...] = ()
    from_dataset_config: bool = False
