"""Draws the demo's regularization pictures with the starter model: `python -m sd_scripts.starter.regularization`.

They show the model, while it learns the creature, what the other things it knows have looked like all along.
"""

from __future__ import annotations

from pathlib import Path

import torch

from .captions import CURATED, name_of

MODEL = Path(__file__).parent / "model"
FOLDER = Path(__file__).parent / "demo_regularization" / "1_emoji"
SIDE, MANY, BATCH = 64, 56, 8
"""Pixels; how many pictures, and how many of them are drawn at once."""
HELD_OUT = (
    "red apple", "dog face", "castle", "rocket", "red heart", "sunflower", "umbrella", "slice of pizza", "penguin",
    "guitar", "smiling sun", "cup of coffee", "frog face", "soccer ball", "house", "red car",
)  # fmt: skip
"""Things without a picture here: on them it is measured how much training moves what it does not show."""


def main() -> None:
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(MODEL).to(torch.float32)
    pipe.set_progress_bar_config(disable=True)
    names = [name for name in map(name_of, CURATED) if name not in HELD_OUT]
    names = [names[place * len(names) // MANY] for place in range(MANY)]
    FOLDER.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(names), BATCH):
        chosen = names[start : start + BATCH]
        seeds = [torch.Generator().manual_seed(start + place) for place in range(len(chosen))]
        drawn = pipe(chosen, width=SIDE, height=SIDE, num_inference_steps=25, guidance_scale=4.0, generator=seeds)
        for number, (name, picture) in enumerate(zip(chosen, drawn.images, strict=True), start=start + 1):
            picture.save(FOLDER / f"{number:02}.png", optimize=True)
            (FOLDER / f"{number:02}.txt").write_text(name + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
