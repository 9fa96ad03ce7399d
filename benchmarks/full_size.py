"""Models of full size on a CPU: `python benchmarks/full_size.py FOLDER [sd1|sd2|sdxl ...]`

Makes a single file with random weights in bf16 (2.1 GB for sd1, 6.9 GB for sdxl), converts it to a diffusers folder and
back, compares that tensor for tensor with the file and with what diffusers makes of the file, and trains a LoRA one
step on each at 256 pixels; the whole of sd1 too. Each stage is a process of its own, of which the peak of memory and
the time are measured; files that are mapped into memory count as long as they lie there. All is deleted again.

docs/measurements.md has what it gave.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
SIDE = 256
FLAGS = {"sd1": [], "sd2": ["--v2"], "sdxl": ["--sdxl"]}
LORA, BF16 = ["--method", "lora", "--network_dim", "16"], ["--mixed_precision", "bf16"]
WHOLE = [
    "--method", "finetune", "--full_bf16", "--fused_backward_pass", "--gradient_checkpointing", "--optimizer_type",
    "Adafactor", "--optimizer_args", "relative_step=False", "scale_parameter=False", "--learning_rate", "1e-5",
]  # fmt: skip
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
Read = Callable[[str], torch.Tensor]


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


def compare(file: Path, again: Path, diffusers: Path) -> None:
    """Stops with a sentence at the first tensor that is not the same, bit for bit. One tensor is read at a time, but
    for what diffusers makes of the file."""
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
    from torch import nn

    from sd_scripts.families.tensor_file import TensorFile

    first, second = TensorFile(file), TensorFile(again)
    same(again, first.entries, second.entries, first.get, second.get)
    kind = StableDiffusionXLPipeline if (diffusers / "text_encoder_2").is_dir() else StableDiffusionPipeline
    theirs = kind.from_single_file(file, config=str(diffusers), local_files_only=True, torch_dtype=torch.bfloat16)
    for part, network in theirs.components.items():
        if isinstance(network, nn.Module):
            ours, tensors = TensorFile(next((diffusers / part).glob("*.safetensors"))), network.state_dict()
            known = {name: "text_model." * (name not in ours.entries) + name for name in tensors}
            same(
                diffusers / part, known.values(), ours.entries,
                {known[name]: tensor for name, tensor in tensors.items()}.__getitem__, ours.get,
            )  # fmt: skip


def same(where: Path, first: Iterable[str], second: Iterable[str], one: Read, other: Read) -> None:
    if differing := set(first) ^ set(second):
        raise SystemExit(f"{where}: {min(differing)} is only in one of the two")
    for name in first:
        if not torch.equal(one(name), other(name)):
            raise SystemExit(f"{where}: {name} has other numbers")


def training(family: str, model: Path, folder: Path, *flags: str) -> list[str]:
    """The command of one step."""
    from PIL import Image

    images = folder / "images" / "1_noise"
    images.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((SIDE, SIDE), 90).convert("RGB").save(images / "noise.png")
    return [
        sys.executable, "-m", "sd_scripts.train", *FLAGS[family], *flags,
        "--pretrained_model_name_or_path", str(model), "--train_data_dir", str(images.parent),
        "--output_dir", str(folder / "out"), "--resolution", str(SIDE), "--max_train_steps", "1",
        "--save_precision", "fp16", "--max_data_loader_n_workers", "0",
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
            print(f"{family}: {(place / 'model.safetensors').stat().st_size / 1e9:.2f} GB")
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
        "all tensors compared": own("compare", file, again, diffusers),
        "a step on the file, bf16": lambda: training(family, file, place, *LORA, *BF16),
        "a step on the folder, bf16": lambda: training(family, diffusers, place, *LORA, *BF16),
    }
    if family != "sdxl":
        found["a step on the file, 32 bits"] = lambda: training(family, file, place, *LORA)
        found["a step of the whole model, bf16"] = lambda: training(family, file, place, *WHOLE, *BF16)
    return found


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", family, file]:
            make(family, Path(file))
        case ["compare", _, file, again, diffusers]:
            compare(Path(file), Path(again), Path(diffusers))
        case ["convert", family, source, target]:
            convert(family, Path(source), Path(target))
        case [folder, *families]:
            main(Path(folder), families or ["sd1", "sdxl"])
        case _:
            raise SystemExit(__doc__)
