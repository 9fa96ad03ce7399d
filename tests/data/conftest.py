"""Folders of small pictures, and settings that read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sd_scripts import plan
from sd_scripts.config import load
from sd_scripts.config.train_config import TrainConfig

SMALL = {"resolution": "64", "min_bucket_reso": 32, "max_bucket_reso": 128, "bucket_reso_steps": 16, "seed": 7}


@pytest.fixture(autouse=True)
def own_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., Path]:
    """Saves a picture in which no two pixels next to each other are the same, with a caption if one is given."""

    def save(
        name: str, size: tuple[int, int] = (64, 64), caption: str | None = None, mode: str = "RGB", **options: Any
    ) -> Path:
        file = tmp_path / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        seed = sum(name.encode())
        values = bytes((seed + 3 * i) % 256 for i in range(size[0] * size[1] * 3))
        Image.frombytes("RGB", size, values).convert(mode).save(file, **options)
        if caption is not None:
            file.with_suffix(".txt").write_text(caption, encoding="utf-8")
        return file

    return save


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., TrainConfig]:
    def make(**settings: Any) -> TrainConfig:
        places = {} if {"in_json", "dataset_config"} & settings.keys() else {"train_data_dir": str(tmp_path / "images")}
        return load.from_flat({**SMALL, **places, **settings}).unwrap()

    return make


@pytest.fixture
def planned(config: Callable[..., TrainConfig]) -> Callable[..., plan.Plan]:
    return lambda **settings: plan.make(config(**settings))
