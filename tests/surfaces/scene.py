"""What parameters are tried on: a few odd pictures with captions, masks and other files, and a model too small to
draw."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONG = ", ".join(f"word{number}" for number in range(90))
CAPTIONS = {
    "a": "ball, {red|blue} sky, one;;;two, ||| (grass:1.4), sun, ||| end",
    "b": "tree, sand, sea\nanother tree",
    "c_32_32_16_16": LONG,
    "d": "small, far, near, left, right",
}
SIZES = {"a": (96, 64), "b": (48, 80), "c_32_32_16_16": (96, 96), "d": (24, 24)}


@dataclass(frozen=True)
class Scene:
    """Paths of everything a setting may name."""

    root: Path
    model: Path

    @property
    def images(self) -> Path:
        return self.root / "images"

    def base(self) -> dict[str, Any]:
        """Settings of a run of a few steps."""
        return {
            "pretrained_model_name_or_path": str(self.model), "train_data_dir": str(self.images), "resolution": "48",
            "min_bucket_reso": 16, "max_bucket_reso": 96, "bucket_reso_steps": 8, "max_data_loader_n_workers": 0,
            "output_dir": str(self.root / "out"), "run_dir": str(self.root / "run"), "seed": 1, "max_train_steps": 20,
            "learning_rate": 1e-3,
        }  # fmt: skip

    def filled(self, value: Any) -> Any:
        """`@name` in a value of the table is the path of that file of the scene."""
        if isinstance(value, list):
            return [self.filled(one) for one in value]
        return str(self.root / value[1:]) if isinstance(value, str) and value.startswith("@") else value


def make(root: Path, model: Path) -> Scene:
    scene = Scene(root, model)
    folder = scene.images / "2_thing"
    for place in (folder, root / "reg" / "1_ball", root / "masks", root / "other" / "3_else", root / "two" / "1_same"):
        place.mkdir(parents=True)
    for number, (name, size) in enumerate(SIZES.items()):
        _picture(folder / f"{name}.png", size, number, alpha=name == "b")
        (folder / f"{name}.txt").write_text(CAPTIONS[name], encoding="utf-8")
        _picture(root / "masks" / f"{name}.png", size, number + 9)
    (folder / "a.caption").write_text("another ending", encoding="utf-8")
    _picture(root / "reg" / "1_ball" / "r.png", (32, 32), 5)
    _picture(root / "other" / "3_else" / "e.png", (32, 32), 6)
    for number in range(2):
        _picture(root / "two" / "1_same" / f"{number}.png", (32, 32), 20 + number)
    _settings_files(root)
    shutil.copytree(model, root / "other_model")
    _change(root / "other_model" / "unet")
    shutil.copytree(model / "vae", root / "vae")
    _change(root / "vae")
    return scene


def _picture(file: Path, size: tuple[int, int], seed: int, alpha: bool = False) -> None:
    """Noise, so that every cut and resize of it differs."""
    import numpy
    from PIL import Image

    values = numpy.random.default_rng(seed).integers(0, 256, (*size[::-1], 4 if alpha else 3), dtype=numpy.uint8)
    Image.fromarray(values).save(file)


def _settings_files(root: Path) -> None:
    entries = {str(root / "images" / "2_thing" / f"{name}.png"): {"caption": "from the list"} for name in SIZES}
    (root / "list.json").write_text(json.dumps(entries), encoding="utf-8")
    tables = (("data", "other/3_else", ""), ("masked", "images/2_thing", f"conditioning_data_dir = '{root}/masks'"))
    for name, folder, more in tables:
        table = f"[[datasets]]\n[[datasets.subsets]]\nimage_dir = '{root}/{folder}'\nnum_repeats = 4\n{more}\n"
        (root / f"{name}.toml").write_text(table, encoding="utf-8")
    (root / "tracker.toml").write_text("[tensorboard]\nmax_queue = 3\n", encoding="utf-8")
    (root / "thumb.png").write_bytes((root / "reg" / "1_ball" / "r.png").read_bytes())


def _change(folder: Path) -> None:
    """Gives a network other weights."""
    from safetensors.torch import load_file, save_file

    (file,) = folder.glob("*.safetensors")
    save_file({name: tensor * 1.1 for name, tensor in load_file(file).items()}, file, {"format": "pt"})


def leave_behind(scene: Scene, observe: Callable[..., Any]) -> None:
    """What an earlier run left: its trained file, its state, and latents of pictures that have changed since."""
    import torch

    from sd_scripts.training.progress import Progress

    left = scene.root.with_name(scene.root.name + "_left")
    left.mkdir()

    torch.save({"emb_params": torch.linspace(-1, 1, 16)[None]}, left / "word.pt")

    def keep(seen: Any) -> None:
        method, state = seen.trainer.method, seen.trainer.checkpoints.state
        state.save(left / "state", Progress(step=3, epoch=0, batches=3))
        for number, parameter in enumerate(method.parameters()):
            parameter.data += 0.1 + number / 1000
        method.save(left / "start.safetensors", Progress())
        (left / "stale").mkdir()
        for file in (scene.images / "2_thing").glob("*.npz"):
            shutil.copy(file, left / "stale")

    picture = scene.images / "2_thing" / "a.png"
    before = picture.read_bytes()
    _picture(picture, SIZES["a"], 99)
    observe(scene, scene.base() | {"cache_latents_to_disk": True, "network_train_unet_only": True}, {"kept": keep})
    picture.write_bytes(before)
    shutil.copytree(left, scene.root, dirs_exist_ok=True)
