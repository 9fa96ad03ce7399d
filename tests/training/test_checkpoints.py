"""Names of saved files, when they are saved and which old ones go, against the reference's rules worked out by hand."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from sd_scripts.config.saving import SavingConfig
from sd_scripts.training.checkpoints import DiskFull, Names, check_room, epoch_to_remove, every_n_epochs, step_to_remove


def test_names_are_those_of_the_reference() -> None:
    named, unnamed = Names(SavingConfig(output_name="cat")), Names(SavingConfig())
    assert [named.epoch(2), named.step(100), named.last()] == ["cat-000002", "cat-step00000100", "cat"]
    assert [unnamed.epoch(2), unnamed.step(100), unnamed.last()] == ["epoch-000002", "at-step00000100", "last"]


@pytest.mark.parametrize(
    ("ratio", "every", "epochs", "expected"),
    [(None, None, 10, None), (None, 3, 10, 3), (4, None, 10, 2), (20, None, 10, 1), (3, 7, 10, 3)],
)
def test_a_ratio_means_at_least_so_many_files(
    ratio: int | None, every: int | None, epochs: int, expected: int | None
) -> None:
    assert every_n_epochs(SavingConfig(save_n_epoch_ratio=ratio, save_every_n_epochs=every), epochs) == expected


@pytest.mark.parametrize(
    ("epoch", "every", "keep", "removed"),
    [(2, 2, 2, None), (4, 2, 2, None), (6, 2, 2, 2), (8, 2, 2, 4), (8, 2, None, None), (3, 1, 1, 2)],
)
def test_keeping_the_last_epochs_counts_files(epoch: int, every: int, keep: int | None, removed: int | None) -> None:
    assert epoch_to_remove(epoch, every, keep) == removed


@pytest.mark.parametrize(
    ("step", "every", "keep", "removed"),
    [
        (10, 10, 30, None),
        (40, 10, 30, None),
        (50, 10, 30, 10),
        (60, 10, 30, 20),
        (60, 10, None, None),
        (100, 25, 60, 25),
    ],
)
def test_keeping_the_last_steps_counts_steps(step: int, every: int, keep: int | None, removed: int | None) -> None:
    assert step_to_remove(step, every, keep) == removed


def test_a_full_disk_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=3 << 20))
    with pytest.raises(DiskFull) as caught:
        check_room(tmp_path, 20 << 20)
    assert str(caught.value) == (
        f"output_dir: The disk of {tmp_path} is full: 24 MB are needed to save and 3 MB are free; "
        "make room or choose another folder."
    )
