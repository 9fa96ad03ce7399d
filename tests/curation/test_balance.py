"""Folders of different size get repeats with which they weigh the same."""

from __future__ import annotations

import pytest
from PIL import Image

from sd_scripts import plan
from sd_scripts.config import load
from sd_scripts.curation import balance
from sd_scripts.curation.balance import CannotBalance


@pytest.mark.parametrize("images, repeats, suggested", [
    ({"a": 100, "b": 50, "c": 10}, {"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2, "c": 10}),
    ({"a": 100, "b": 50, "c": 10}, {"a": 3, "b": 20, "c": 1}, {"a": 3, "b": 6, "c": 30}),
    ({"a": 7, "b": 5}, {"a": 1, "b": 9}, {"a": 1, "b": 1}),
    ({"a": 7, "b": 5}, {"a": 10, "b": 9}, {"a": 10, "b": 14}),
    ({"a": 4}, {"a": 0}, {"a": 1}),
])  # fmt: skip
def test_the_largest_folder_keeps_its_repeats(images, repeats, suggested):
    assert balance.suggest(images, repeats) == suggested


@pytest.fixture
def parent(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, count in {'2_sks "big" cat': 6, "small dog": 2, "empty": 0, ".hidden": 3}.items():
        (tmp_path / "all" / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (64, 64)).save(tmp_path / "all" / name / f"{number}.png")
    return tmp_path / "all"


def test_a_dataset_file_says_the_repeats(parent, tmp_path):
    folders = balance.weighed(parent)
    assert [(f.path.name, f.words, f.images, f.repeats, f.suggested) for f in folders] == [
        ('2_sks "big" cat', 'sks "big" cat', 6, 2, 2), ("small dog", "small dog", 2, 1, 6),
    ]  # fmt: skip
    file = tmp_path / "balanced.toml"
    balance.write(file, balance.dataset_file(folders, {"small dog": 5}))
    settings = {"dataset_config": str(file), "resolution": "64", "min_bucket_reso": 64}
    planned = plan.make(load.from_flat(settings).unwrap())
    (data,) = planned.datasets
    assert [(subset.repeats, subset.class_tokens) for subset in data.subsets] == [
        (2, 'sks "big" cat'),
        (5, "small dog"),
    ]
    assert planned.num_train_images == 6 * 2 + 2 * 5


def test_a_file_is_not_written_over(parent, tmp_path):
    file = tmp_path / "x.toml"
    file.write_text("mine", encoding="utf-8")
    with pytest.raises(CannotBalance) as error:
        balance.write(file, "other")
    assert str(error.value) == f"There is already a file {file}; choose another name."
    assert file.read_text(encoding="utf-8") == "mine"


def test_a_folder_without_folders_of_images_is_said(parent):
    with pytest.raises(CannotBalance) as error:
        balance.weighed(parent / "empty")
    assert str(error.value) == (
        f"No folder in {parent / 'empty'} holds images; open the folder that your folders of images lie in."
    )
