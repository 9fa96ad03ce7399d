"""Makes the starter model: `python -m sd_scripts.starter.make`. Stop it at any time; the same command goes on.

Needs the Noto Color Emoji font (Debian: fonts-noto-color-emoji). About three hours on two CPU cores, minutes on a GPU.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from PIL import Image

from . import captions, networks, train

MODEL = Path(__file__).parent / "model"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--work", type=Path, default=Path("starter_work"), help="folder for what lies between the stages"
    )
    parser.add_argument(
        "--out", type=Path, help="where the model goes (default: WORK/model; its tokenizer comes from this folder)"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--vae_steps", type=int, default=4500)
    parser.add_argument("--vae_batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=12000, help="steps of UNet and text encoder")
    parser.add_argument("--rate", type=float, default=1e-3, help="their highest learning rate")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--sheet", type=Path, help="only draw a contact sheet with the finished model into this file")
    return parser.parse_args()


def trained_vae(asked: argparse.Namespace) -> AutoencoderKL:
    torch.manual_seed(0)
    vae = networks.new_vae()
    train.train_vae(vae, asked.work, train.Fit(asked.vae_steps, rate=3e-3), asked.vae_batch, asked.device)
    return vae.eval()


def trained_denoiser(asked: argparse.Namespace, vae: AutoencoderKL) -> train.Denoiser:
    """UNet and text encoder; sets the VAE's scaling factor so that latents have unit variance."""
    data = list(train.examples(vae, asked.device))
    means = torch.stack([example.moments[:4] for example in data])
    vae.register_to_config(scaling_factor=round(1 / means.std().item(), 5))
    torch.manual_seed(1)
    denoiser = train.Denoiser()
    lesson = train.Lesson(data, vae.config.scaling_factor, networks.load_tokenizer(MODEL / "tokenizer"), asked.batch)
    train.train_denoiser(denoiser, lesson, asked.work, train.Fit(asked.steps, asked.rate), asked.device)
    return denoiser.eval()


def write_model(vae: AutoencoderKL, denoiser: train.Denoiser, folder: Path) -> None:
    """A diffusers folder in fp16."""
    for name, part in (("vae", vae), ("unet", denoiser.unet), ("text_encoder", denoiser.text_encoder)):
        part.to("cpu", torch.float16, memory_format=torch.contiguous_format).save_pretrained(folder / name)
    networks.new_scheduler().save_pretrained(folder / "scheduler")
    networks.write_tokenizer(MODEL / "tokenizer", folder / "tokenizer")
    networks.write_index(folder)


def contact_sheet(folder: Path, file: Path, columns: int = 15, steps: int = 25) -> None:
    """One sample for each name the model knows, in the order of captions.CURATED."""
    pipe = StableDiffusionPipeline.from_pretrained(folder).to(torch.float32)
    pipe.set_progress_bar_config(disable=True)
    names = [captions.name_of(emoji) for emoji in captions.CURATED]
    drawn: list[Image.Image] = []
    for start in range(0, len(names), columns):
        batch = names[start : start + columns]
        seeds = [torch.Generator().manual_seed(start + i) for i in range(len(batch))]
        drawn += pipe(batch, width=64, height=64, num_inference_steps=steps, guidance_scale=4.0, generator=seeds).images
    sheet = Image.new("RGB", (64 * columns, 64 * -(-len(drawn) // columns)), "white")
    for i, picture in enumerate(drawn):
        sheet.paste(picture, (64 * (i % columns), 64 * (i // columns)))
    sheet.save(file)


def reconstructions(vae: AutoencoderKL, file: Path, count: int = 24) -> None:
    """Pictures above, what the autoencoder makes of them below."""
    rng = random.Random(1)
    originals = [train.any_picture(list(captions.CURATED), rng) for _ in range(count)]
    pixels_BCHW = torch.stack([train.as_tensor(picture) for picture in originals])
    with torch.no_grad():
        rebuilt_BCHW = vae.decode(vae.encode(pixels_BCHW).latent_dist.mean).sample
    both = torch.cat([torch.cat(list(pixels_BCHW), dim=2), torch.cat(list(rebuilt_BCHW), dim=2)], dim=1)
    values = ((both.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(values).save(file)


def main() -> None:
    asked = _arguments()
    asked.work.mkdir(parents=True, exist_ok=True)
    folder = asked.out or asked.work / "model"
    if asked.sheet is None:
        vae = trained_vae(asked)
        reconstructions(vae.to("cpu"), asked.work / "reconstructions.png")
        write_model(vae, trained_denoiser(asked, vae.to(asked.device)), folder)
    contact_sheet(folder, asked.sheet or asked.work / "contact_sheet.png")


if __name__ == "__main__":
    main()
