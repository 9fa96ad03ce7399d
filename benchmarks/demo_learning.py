"""How far what a demo has learned moves the new caption towards the demo pictures, and how little it moves others, of
which the regularization pictures show none.

    python benchmarks/demo_learning.py outputs/bloop.safetensors      # a LoRA, a whole model, or the file of a word

Samples are drawn by diffusers with the same seeds with and without what was learned. Distances are root mean squares in
the starter VAE's latent space (unit variance): of each sample to the nearest demo picture, and of each sample to its
twin drawn without. Words with a meaning for each layer, which diffusers can't read, are read by this program.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from torch import Tensor

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from sd_scripts.config.load import from_flat  # noqa: E402
from sd_scripts.families import load_family  # noqa: E402
from sd_scripts.families.detect import read_header  # noqa: E402
from sd_scripts.methods import create  # noqa: E402
from sd_scripts.starter.regularization import HELD_OUT  # noqa: E402

STARTER = ROOT / "sd_scripts" / "starter"
MODEL = STARTER / "model"
NEW = ["bloop monster"] * 16
OTHERS = list(HELD_OUT)


Told = Callable[[list[str]], dict[str, Any]]
"""Prompts -> what a pipeline is told of them."""


def plainly(prompts: list[str]) -> dict[str, Any]:
    return {"prompt": prompts}


def sample(pipe: StableDiffusionPipeline, prompts: list[str], told: Told = plainly) -> list[Image.Image]:
    seeds = [torch.Generator().manual_seed(1000 + i) for i in range(len(prompts))]
    drawn = pipe(**told(prompts), width=64, height=64, num_inference_steps=15, guidance_scale=4.0, generator=seeds)
    return drawn.images


def taught(file: Path) -> tuple[StableDiffusionPipeline, Told]:
    """The starter model with what the file holds."""
    shapes = {name: tensor["shape"] for name, tensor in read_header(file).items() if name != "__metadata__"}
    if any(name.startswith("model.diffusion_model.") for name in shapes):
        return StableDiffusionPipeline.from_single_file(file, config=str(MODEL), torch_dtype=torch.float32), plainly
    if not any(name.startswith("lora_") for name in shapes):
        return with_word(file, *shapes.values())
    pipe = StableDiffusionPipeline.from_pretrained(MODEL, torch_dtype=torch.float32)
    pipe.load_lora_weights(file.parent, weight_name=file.name)
    return pipe, plainly


def with_word(file: Path, *tables: list[int]) -> tuple[StableDiffusionPipeline, Told]:
    flat = {
        "method": "textual_inversion", "token_string": NEW[0].split()[0], "weights": [str(file)],
        "num_vectors_per_token": tables[0][0], "xti": len(tables) > 1, "pretrained_model_name_or_path": str(MODEL),
    }  # fmt: skip
    config = from_flat(flat).unwrap()
    family = load_family(config.model, config.precision)
    create(config, family).eval_mode()

    @torch.no_grad()
    def told(prompts: list[str]) -> dict[str, Any]:
        texts = {"prompt_embeds": prompts, "negative_prompt_embeds": [""] * len(prompts)}
        return {name: family.condition(captions).text_BTC for name, captions in texts.items()}

    return family.pipeline(StableDiffusionPipeline.from_pretrained(MODEL, torch_dtype=torch.float32).scheduler), told


@torch.no_grad()
def latents(pipe: StableDiffusionPipeline, pictures: list[Image.Image]) -> Tensor:
    """RGB pictures -> (N, C*h*w) of unit variance."""
    arrays = np.stack([np.asarray(p.convert("RGB").resize((64, 64), Image.Resampling.LANCZOS)) for p in pictures])
    pixels_BCHW = torch.from_numpy(arrays).permute(0, 3, 1, 2).float() / 127.5 - 1
    return (pipe.vae.encode(pixels_BCHW).latent_dist.mean * pipe.vae.config.scaling_factor).flatten(1)


def nearest(samples_ND: Tensor, references_MD: Tensor) -> float:
    """Mean over the samples of the distance to the nearest reference."""
    return (torch.cdist(samples_ND, references_MD).min(dim=1).values / samples_ND.shape[1] ** 0.5).mean().item()


def moved(before_ND: Tensor, after_ND: Tensor) -> float:
    return (before_ND - after_ND).square().mean(dim=1).sqrt().mean().item()


def sheet(rows: list[list[Image.Image]], file: Path) -> None:
    side = 64
    whole = Image.new("RGB", (side * len(rows[0]), side * len(rows)), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            whole.paste(picture, (side * x, side * y))
    whole.save(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--sheet", type=Path, help="write the samples here: new and other captions, before and after")
    asked = parser.parse_args()
    pipe = StableDiffusionPipeline.from_pretrained(MODEL, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    demo = latents(pipe, [Image.open(file) for file in sorted((STARTER / "demo").rglob("*.png"))])
    before = [sample(pipe, prompts) for prompts in (NEW, OTHERS)]
    learned, told = taught(asked.file)
    learned.set_progress_bar_config(disable=True)
    after = [sample(learned, prompts, told) for prompts in (NEW, OTHERS)]
    print(f"{'16 samples of':16} {'to demo, before':>16} {'after':>8} {'moved':>8}")
    for name, first, second in zip(("the new caption", "16 others"), before, after, strict=True):
        a, b = latents(pipe, first), latents(pipe, second)
        print(f"{name:16} {nearest(a, demo):16.3f} {nearest(b, demo):8.3f} {moved(a, b):8.3f}")
    if asked.sheet:
        sheet([before[0], after[0], before[1], after[1]], asked.sheet)


if __name__ == "__main__":
    main()
