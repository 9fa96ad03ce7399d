"""Models of full size on a CPU: `python benchmarks/full_size.py FOLDER [sd1|sd2|sdxl ...]`

Makes a single file with random weights in bf16 (2.1 GB for sd1, 6.9 GB for sdxl), converts it to a diffusers folder and
back, and trains a LoRA one step on each at 256 pixels. Each stage is a process of its own, of which the peak of memory
and the time are measured; files that are mapped into memory count as long as they lie there. All is deleted again.

Measured on one of two busy cores, GB at the peak and seconds: sd1 (2.13 GB) file to folder 2.7, 23; back 2.7, 24; a
step in bf16 3.1, 23, in 32 bits 6.9, 55. sdxl (6.9 GB) file to folder 7.5, 42; back 7.9, 32; a step in bf16 8.6, 49 on
the file and 8.7, 62 on the folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
SIDE = 256
FLAGS = {"sd1": [], "sd2": ["--v2"], "sdxl": ["--sdxl"]}
SDXL_UNET: dict[str, Any] = {
    "block_out_channels": (320, 640, 1280), "cross_attention_dim": 2048, "attention_head_dim": [5, 10, 20],
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), "use_linear_projection": True,
    "transformer_layers_per_block": [1, 2, 10], "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip
UNETS: dict[str, dict[str, Any]] = {
    "sd1": {"cross_attention_dim": 768, "attention_head_dim": 8},
    "sd2": {"cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True},
    "sdxl": SDXL_UNET,
}
TEXTS = {"sd1": [(768, 12)], "sd2": [(1024, 23)], "sdxl": [(768, 12), (1280, 32)]}
"""Width and layers of each text encoder."""


def shapes(family: str) -> dict[str, tuple[int, ...]]:
    """Of a full-size model's tensors in the original layout."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig

    from sd_scripts.config.model import ModelConfig
    from sd_scripts.families.parts import Parts
    from sd_scripts.families.sd import StableDiffusion1, StableDiffusion2
    from sd_scripts.families.sdxl import StableDiffusionXL

    kind = {"sd1": StableDiffusion1, "sd2": StableDiffusion2, "sdxl": StableDiffusionXL}[family]
    with torch.device("meta"):
        texts = [
            text.network(
                CLIPTextConfig(
                    hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, projection_dim=width,
                    num_attention_heads=width // 64,
                )
            )
            for text, (width, layers) in zip(kind.texts, TEXTS[family], strict=True)
        ]  # fmt: skip
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512), layers_per_block=2,
        )  # fmt: skip
        made = kind(Parts(UNet2DConditionModel(**UNETS[family]), texts, [], vae), ModelConfig(), torch.bfloat16)
        return {name: tuple(tensor.shape) for name, tensor in made.original_tensors().items()}


def make(family: str, file: Path) -> None:
    """Random weights that let numbers through: small ones, and normalizations that do nothing."""
    from sd_scripts.families.names.ldm import LOGIT_SCALE
    from sd_scripts.families.tensor_file import Entry, write

    known = shapes(family)

    def tensor(name: str) -> torch.Tensor:
        shape = known[name]
        if name.endswith("logit_scale"):
            return torch.tensor(LOGIT_SCALE)
        if len(shape) < 2:
            return torch.ones(shape) if name.endswith("weight") else torch.zeros(shape)
        return torch.randn(shape, dtype=torch.bfloat16) * 0.02

    write(file, {name: Entry(torch.bfloat16, shape) for name, shape in known.items()}, tensor, {})


def convert(family: str, source: Path, target: Path) -> None:
    from sd_scripts.config.model import ModelConfig
    from sd_scripts.config.precision import PrecisionConfig
    from sd_scripts.families import load_family, saving

    model = ModelConfig(
        pretrained_model_name_or_path=str(source), v2=family == "sd2", sdxl=family == "sdxl", no_half_vae=False
    )
    loaded = load_family(model, PrecisionConfig(mixed_precision="bf16"))
    saving.save_model(loaded, target, "safetensors" if target.suffix else "diffusers_safetensors", "bf16", {})


def digest(file: Path) -> str:
    """Of all tensors, whatever their order."""
    from sd_scripts.families.tensor_file import TensorFile

    opened, found = TensorFile(file), hashlib.sha256()
    for name in sorted(opened.entries):
        found.update(name.encode() + opened.get(name).reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def training(family: str, model: Path, folder: Path, precision: str) -> list[str]:
    """The command of one step."""
    from PIL import Image

    images = folder / "images" / "1_noise"
    images.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((SIDE, SIDE), 90).convert("RGB").save(images / "noise.png")
    return [
        sys.executable, "-m", "sd_scripts.train", "--method", "lora", *FLAGS[family],
        "--pretrained_model_name_or_path", str(model), "--train_data_dir", str(images.parent),
        "--output_dir", str(folder / "out"), "--resolution", str(SIDE), "--network_dim", "16", "--max_train_steps", "1",
        "--mixed_precision", precision, "--save_precision", "fp16", "--max_data_loader_n_workers", "0",
    ]  # fmt: skip


def measured(command: list[str]) -> tuple[float, float]:
    """GB at the peak, and seconds."""
    start = time.perf_counter()
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
    return usage.ru_maxrss * 1024 / 1e9, time.perf_counter() - start


def main(folder: Path, families: list[str]) -> None:
    print("| Model | Stage | Peak, GB | Time, s |\n| --- | --- | ---: | ---: |", flush=True)
    for family in families:
        place = folder / f"full_size_{family}"
        place.mkdir(parents=True)
        try:
            for stage, command in stages(family, place).items():
                gigabytes, seconds = measured(command())
                print(f"| {family} | {stage} | {gigabytes:.1f} | {seconds:.0f} |", flush=True)
            equal = digest(place / "model.safetensors") == digest(place / "again.safetensors")
            print(
                f"{family}: {size(place / 'model.safetensors')} GB; {'the same' if equal else 'other'} after both ways"
            )
        finally:
            shutil.rmtree(place)


def stages(family: str, place: Path) -> dict[str, Callable[[], list[str]]]:
    file, diffusers, again = place / "model.safetensors", place / "diffusers", place / "again.safetensors"

    def own(what: str, *words: Path) -> Callable[[], list[str]]:
        return lambda: [sys.executable, __file__, what, family, *map(str, words)]

    found = {
        "made": own("make", file),
        "single file to folder": own("convert", file, diffusers),
        "folder to single file": own("convert", diffusers, again),
        "a step on the file, bf16": lambda: training(family, file, place, "bf16"),
        "a step on the folder, bf16": lambda: training(family, diffusers, place, "bf16"),
    }
    if family != "sdxl":
        found["a step on the file, 32 bits"] = lambda: training(family, file, place, "no")
    return found


def size(file: Path) -> str:
    return f"{file.stat().st_size / 1e9:.2f}"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", family, file]:
            make(family, Path(file))
        case ["convert", family, source, target]:
            convert(family, Path(source), Path(target))
        case [folder, *families]:
            main(Path(folder), families or ["sd1", "sdxl"])
        case _:
            raise SystemExit(__doc__)
