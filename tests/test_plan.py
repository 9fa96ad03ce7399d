"""The plan counts exactly what is run, and says the sum that leads to it."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from PIL import Image

from sd_scripts import plan
from sd_scripts.config import load

SMALL = {"resolution": "64", "min_bucket_reso": 32, "bucket_reso_steps": 16, "max_data_loader_n_workers": 0, "seed": 1}


@pytest.fixture
def images(tmp_path, monkeypatch):
    """{folder: [sizes]} -> the parent of the folders."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(folders, parent="images"):
        for name, sizes in folders.items():
            folder = tmp_path / parent / name
            folder.mkdir(parents=True)
            for number, size in enumerate(sizes):
                Image.new("RGB", size).save(folder / f"{number}.png")
        return tmp_path / parent

    return make


def planned(folder: Path, **settings) -> plan.Plan:
    return plan.make(load.from_flat({**SMALL, "train_data_dir": str(folder), **settings}).unwrap())


SQUARE, WIDE = (64, 64), (96, 48)


@pytest.mark.parametrize("folders, settings, total, text", [
    ({"20_cat": [SQUARE] * 10}, {"train_batch_size": 4, "max_train_epochs": 4}, 200,
     "10 images x 20 repeats = 200 samples; 200 / batch 4 = 50 batches an epoch; "
     "50 / 1 accumulation x 4 epochs = 200 steps"),
    ({"1_cat": [SQUARE]}, {"max_train_epochs": 1}, 1,
     "1 image x 1 repeat = 1 sample; 1 / batch 1 = 1 batch an epoch; 1 / 1 accumulation x 1 epoch = 1 step"),
    ({"3_cat": [SQUARE, SQUARE, WIDE]}, {"train_batch_size": 4, "max_train_epochs": 2}, 6,
     "3 images x 3 repeats = 9 samples; 9 / batch 4 = 3 batches an epoch; 3 / 1 accumulation x 2 epochs = 6 steps"),
    ({"1_cat": [SQUARE] * 5 + [WIDE] * 5}, {"train_batch_size": 4, "max_train_epochs": 1}, 4,
     "10 images x 1 repeat = 10 samples; 10 / batch 4 in 2 buckets = 4 batches an epoch; "
     "4 / 1 accumulation x 1 epoch = 4 steps"),
    ({"2_a": [SQUARE] * 2, "3_b": [SQUARE]}, {"max_train_epochs": 2, "gradient_accumulation_steps": 3}, 6,
     "2 images x 2 repeats + 1 image x 3 repeats = 7 samples; 7 / batch 1 = 7 batches an epoch; "
     "7 / 3 accumulation x 2 epochs = 6 steps"),
    ({"1_cat": [SQUARE] * 7}, {"max_train_epochs": 3, "num_processes": 2}, 12,
     "7 images x 1 repeat = 7 samples; 7 / batch 1 = 7 batches an epoch; 7 / 2 processes = 4 each; "
     "4 / 1 accumulation x 3 epochs = 12 steps"),
    ({"1_cat": [SQUARE] * 7}, {"max_train_steps": 20}, 20,
     "7 images x 1 repeat = 7 samples; 7 / batch 1 = 7 batches an epoch; 7 / 1 accumulation = 7 steps an epoch; "
     "20 steps in 3 epochs"),
])  # fmt: skip
def test_the_sum_leads_to_the_steps(images, folders, settings, total, text):
    made = planned(images(folders), **settings)
    assert made.total_steps == total
    assert made.sum_text == text


def test_epochs_win_over_steps(images):
    folder = images({"1_cat": [SQUARE] * 4})
    assert planned(folder, max_train_epochs=2, max_train_steps=1600).total_steps == 8
    assert planned(folder, max_train_steps=10).total_steps == 10
    assert planned(folder).total_steps == 1600


def test_regularization_images_count_as_samples(images):
    folder, reg = images({"4_sks cat": [SQUARE] * 3}), images({"1_cat": [SQUARE] * 5}, "reg")
    made = planned(folder, reg_data_dir=str(reg), train_batch_size=4, max_train_epochs=1)
    assert made.sum_text == (
        "3 images x 4 repeats + 2 regularization images x 3 repeats + 3 regularization images x 2 repeats = "
        "24 samples; 24 / batch 4 = 6 batches an epoch; 6 / 1 accumulation x 1 epoch = 6 steps"
    )


@pytest.mark.parametrize("warmup, steps", [(0, 0), (25, 25), (0.1, 20), ("10%", 20), ("25", 25), (0.333, 66)])
def test_the_warm_up_is_a_number_of_steps_a_share_or_a_percentage(images, warmup, steps):
    folder = images({"1_cat": [SQUARE]})
    assert planned(folder, max_train_steps=200, lr_warmup_steps=warmup, lr_scheduler="cosine").warmup_steps == steps


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("batch, accumulation", [(1, 1), (2, 1), (3, 2), (4, 3)])
def test_the_steps_are_those_that_are_run(images, processes, batch, accumulation):
    """Runs the loop's counting over real batches: a step after so many batches, and at the end of an epoch."""
    from sd_scripts.config import load
    from sd_scripts.data import dataset
    from sd_scripts.data.cache import World

    folder = images({"3_cat": [SQUARE] * 5 + [WIDE] * 2, "2_dog": [WIDE]})
    settings = {
        "train_batch_size": batch, "gradient_accumulation_steps": accumulation, "num_processes": processes,
        "max_train_epochs": 2,
    }  # fmt: skip
    made = planned(folder, **settings)
    config = load.from_flat({**SMALL, "train_data_dir": str(folder), **settings}).unwrap()
    for rank in range(processes):
        batches = dataset.build(config, made, None, World(rank, processes))
        steps = waiting = 0
        for number, _ in enumerate(islice(batches.after(0, 0), 2 * batches.per_epoch), 1):
            waiting += 1
            if waiting == accumulation or number % batches.per_epoch == 0:
                steps, waiting = steps + 1, 0
        assert steps == made.total_steps


def test_all_that_is_wrong_is_said_at_once(images, tmp_path):
    folder = images({"1_cat": [SQUARE], "2_dog": []})
    (folder / "1_cat" / "bad.png").write_bytes(b"x")
    (folder / "1_cat" / "0.txt").write_bytes(b"\xff\xfe\xfa")
    made = planned(folder, reg_data_dir=str(tmp_path / "nowhere"))
    assert len([problem for problem in made.problems if problem.stops]) == 4


def test_a_picture_too_small_for_a_bucket_is_named(images):
    folder = images({"1_cat": [(20, 10)]})
    (problem,) = [p for p in planned(folder, bucket_no_upscale=True).problems if p.stops]
    assert str(problem) == (
        f"bucket_no_upscale: The image {folder / '1_cat' / '0.png'} is 20x10, smaller than bucket_reso_steps 16; "
        "enlarge it, lower the steps, or turn this off."
    )


def test_planning_imports_no_torch():
    code = "import sys, sd_scripts.plan; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False).returncode == 0


def test_a_file_that_would_be_replaced_is_told_before_the_start(images, tmp_path):
    folder, name = images({"1_cat": [SQUARE]}), {"output_dir": str(tmp_path), "output_name": "cat"}
    assert not planned(folder, **name).problems
    (tmp_path / "cat.safetensors").touch()
    (notice,) = planned(folder, **name).problems
    assert (notice.key, notice.stops) == ("output_name", False)
    assert (
        notice.message
        == f"{tmp_path / 'cat.safetensors'} exists and will be replaced; choose another name to keep both."
    )
    assert not planned(folder, **name, resume=str(tmp_path)).problems


SKIP = {"skip_until_initial_step": True}


@pytest.mark.parametrize(("settings", "end"), [
    ({"initial_step": 4}, "10 steps in 2 epochs"),
    ({"initial_step": 4, **SKIP}, "10 steps in 2 epochs, of which 4 are skipped"),
    ({"initial_epoch": 3, "max_train_epochs": 4, **SKIP}, "4 epochs = 20 steps, of which 10 are skipped"),
    ({"initial_step": 4, **SKIP, "resume": "state"}, "10 steps in 2 epochs"),
])  # fmt: skip
def test_the_sum_says_which_steps_are_skipped(images, settings, end):
    assert planned(images({"1_cat": [SQUARE] * 5}), **{"max_train_steps": 10, **settings}).sum_text.endswith(end)


@pytest.mark.parametrize(("settings", "sentence"), [
    ({"initial_step": 10}, None),
    ({"initial_step": 10, **SKIP},
     "initial_step: The training ends after 10 steps, so skipping 10 leaves nothing to train."),
    ({"initial_step": 99, "max_train_epochs": 2, **SKIP},
     "initial_step: The training ends after 10 steps, so skipping 99 leaves nothing to train."),
    ({"initial_epoch": 3, **SKIP},
     "initial_epoch: The training ends after 10 steps, so skipping 10 leaves nothing to train."),
])  # fmt: skip
def test_something_must_be_left_to_train(images, settings, sentence):
    found = planned(images({"1_cat": [SQUARE] * 5}), **{"max_train_steps": 10, **settings}).problems
    assert [str(problem) for problem in found if problem.stops] == ([sentence] if sentence else [])


@pytest.mark.parametrize(("settings", "sentence"), [
    ({"lr_warmup_steps": 10}, "lr_warmup_steps: The training ends after 10 steps, before the full learning rate is "
     "reached."),
    ({"save_every_n_steps": 11}, "save_every_n_steps: The training ends after 10 steps, before it comes to this."),
    ({"sample_every_n_epochs": 3, "sample_prompts": "a cat"},
     "sample_every_n_epochs: The training ends after 2 epochs, before it comes to this."),
    ({"lr_warmup_steps": 9, "save_every_n_steps": 10, "save_every_n_epochs": 2}, None),
])  # fmt: skip
def test_what_would_come_after_the_end_is_said(images, settings, sentence):
    found = planned(images({"1_cat": [SQUARE] * 5}), max_train_steps=10, lr_scheduler="linear", **settings).problems
    assert [str(problem) for problem in found] == ([sentence] if sentence else [])
