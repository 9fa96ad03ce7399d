"""Trains the starter model's networks. Each stage can be stopped at any time and goes on where it was."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from diffusers.training_utils import EMAModel, compute_snr
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPTokenizer

from ..whole import whole_file
from . import captions, networks, pictures

SAVE_EVERY = 60  # seconds
REPORT_EVERY = 50  # steps


@dataclass(frozen=True)
class Fit:
    """How one stage is trained: AdamW at `rate`, warmed up and then falling along a cosine to a fiftieth."""

    steps: int
    rate: float
    warmup: int = 100

    def rate_at(self, step: int) -> float:
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        share = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, share))))


def fit(network: nn.Module, loss_at: Callable[[int], Tensor], plan: Fit, file: Path) -> None:
    """Minimises `loss_at(step)` over `network`, keeping all that changes in `file`; ends with the weights' average."""
    parameters = list(network.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=plan.rate, weight_decay=0.01, betas=(0.9, 0.99), fused=True)
    average = EMAModel(parameters, decay=0.999, use_ema_warmup=True, power=3 / 4, foreach=True)
    step, saved, started, losses = _resume(network, optimizer, average, file), time.time(), time.time(), []
    first = step
    while step < plan.steps:
        for group in optimizer.param_groups:
            group["lr"] = plan.rate_at(step)
        loss = loss_at(step)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.step(parameters)
        losses.append(loss.detach())
        step += 1
        if step % REPORT_EVERY == 0:
            pace = (time.time() - started) / (step - first)
            mean = torch.stack(losses).mean().item()
            left = pace * (plan.steps - step) / 60
            print(
                f"{file.stem} {step}/{plan.steps}  loss {mean:.4f}  {pace:.2f} s/step  {left:.0f} min left", flush=True
            )
            losses = []
        if time.time() - saved > SAVE_EVERY or step == plan.steps:
            _save(network, optimizer, average, step, file)
            saved = time.time()
    average.copy_to(parameters)


def _save(network: nn.Module, optimizer: torch.optim.Optimizer, average: EMAModel, step: int, file: Path) -> None:
    parts = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "average": average.state_dict()}
    with whole_file(file, lasting=False) as new:
        torch.save({**parts, "step": step}, new)


def _resume(network: nn.Module, optimizer: torch.optim.Optimizer, average: EMAModel, file: Path) -> int:
    if not file.is_file():
        return 0
    parts = torch.load(file, weights_only=True, map_location="cpu")
    network.load_state_dict(parts["network"])
    optimizer.load_state_dict(parts["optimizer"])
    average.load_state_dict(parts["average"])
    average.to(next(network.parameters()).device)
    print(f"{file.stem}: going on at step {parts['step']}", flush=True)
    return parts["step"]


def as_tensor(picture: Image.Image) -> Tensor:
    """RGB picture -> (3, H, W) in -1..1."""
    return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)


def _slopes(x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    return x_BCHW.diff(dim=-1), x_BCHW.diff(dim=-2)


def train_vae(vae: AutoencoderKL, work: Path, plan: Fit, batch: int, device: str) -> None:
    """Autoencoder: L1 + L1 of image slopes + a whisper of KL, on every picture of the font, varied."""
    everything = _all_emoji()
    vae.to(device, memory_format=torch.channels_last)

    def loss_at(step: int) -> Tensor:
        rng = random.Random(step)
        pixels_BCHW = torch.stack([as_tensor(any_picture(everything, rng)) for _ in range(batch)]).to(device)
        with torch.autocast(device, torch.bfloat16):
            posterior = vae.encode(pixels_BCHW.contiguous(memory_format=torch.channels_last)).latent_dist
            rebuilt_BCHW = vae.decode(posterior.sample()).sample.float()
        slope_error = sum(F.l1_loss(a, b) for a, b in zip(_slopes(rebuilt_BCHW), _slopes(pixels_BCHW), strict=True))
        return F.l1_loss(rebuilt_BCHW, pixels_BCHW) + slope_error + 1e-6 * posterior.kl().mean()

    fit(vae, loss_at, plan, work / "vae.pt")


def _all_emoji() -> list[str]:
    """What the model draws, three times, and everything else that the font draws, once."""
    others = []
    for code in [*range(0x1F300, 0x1F650), *range(0x1F680, 0x1F6FD), *range(0x1F90C, 0x1F9FF)]:
        try:
            pictures.glyph(chr(code))
        except ValueError:
            continue
        others.append(chr(code))
    return list(captions.CURATED) * 3 + others


def any_picture(emoji: list[str], rng: random.Random) -> Image.Image:
    white = rng.random() < 0.4
    background = (255, 255, 255) if white else tuple(rng.randrange(256) for _ in range(3))
    picture = pictures.draw(rng.choice(emoji), background, rng)
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else picture


@dataclass(frozen=True)
class Example:
    emoji: str
    background: str | None
    moments: Tensor  # (8, h, w): mean and log-variance of the latents


@torch.no_grad()
def examples(vae: AutoencoderKL, device: str) -> Iterator[Example]:
    """Each curated picture on white, as often as on coloured backgrounds together, encoded."""
    for emoji in captions.CURATED:
        backgrounds = [None] * len(captions.BACKGROUNDS) + list(captions.BACKGROUNDS)
        drawn = [pictures.draw(emoji, captions.BACKGROUNDS[b] if b else (255, 255, 255), None) for b in backgrounds]
        pixels_BCHW = torch.stack([as_tensor(picture) for picture in drawn]).to(device)
        for background, moments in zip(backgrounds, vae.encode(pixels_BCHW).latent_dist.parameters.cpu(), strict=True):
            yield Example(emoji, background, moments)


def weight(snr_B: Tensor) -> Tensor:
    """Of a noise loss at a signal-to-noise ratio: min-SNR-5 (Hang et al. 2023) above, that of a velocity loss below.

    What a picture shows is decided where there is little signal, and a plain noise loss hardly counts those steps.
    """
    return (snr_B.clamp(max=5) / snr_B) * ((snr_B + 1) / snr_B).clamp(max=20)


class Denoiser(nn.Module):
    """UNet and text encoder together: they are trained as one."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = networks.new_unet()
        self.text_encoder = networks.new_text_encoder()

    def forward(self, noisy_BCHW: Tensor, t_B: Tensor, ids_BL: Tensor) -> Tensor:
        states_BLD = self.text_encoder(ids_BL).last_hidden_state
        return self.unet(noisy_BCHW, t_B, states_BLD).sample


@dataclass(frozen=True)
class Lesson:
    """What the denoiser is taught from. `scaling`: what makes the latents' variance 1."""

    examples: list[Example]
    scaling: float
    tokenizer: CLIPTokenizer
    batch: int

    def captions(self, chosen: list[Example], rng: random.Random) -> Tensor:
        """Token ids (B, 77); one caption in ten is empty, for guidance."""
        texts = [captions.caption(captions.name_of(e.emoji), e.background, rng) for e in chosen]
        kept = ["" if rng.random() < 0.1 else text for text in texts]
        ids_BL: Tensor = self.tokenizer(kept, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return ids_BL

    def latents(self, chosen: list[Example]) -> Tensor:
        mean_BCHW, log_variance_BCHW = torch.stack([e.moments for e in chosen]).chunk(2, dim=1)
        return self.scaling * (mean_BCHW + (0.5 * log_variance_BCHW).exp() * torch.randn_like(mean_BCHW))


def train_denoiser(denoiser: Denoiser, lesson: Lesson, work: Path, plan: Fit, device: str) -> None:
    """Noise prediction, every draw a function of the step."""
    schedule = networks.new_scheduler()
    denoiser.to(device)
    denoiser.unet.to(memory_format=torch.channels_last)
    compiled = torch.compile(denoiser)  # a fifth faster on a CPU; the first step takes a minute or more

    def loss_at(step: int) -> Tensor:
        rng = random.Random(step)
        torch.manual_seed(step)
        chosen = rng.choices(lesson.examples, k=lesson.batch)
        ids_BL, latents_BCHW = lesson.captions(chosen, rng).to(device), lesson.latents(chosen)
        noise_BCHW, t_B = torch.randn_like(latents_BCHW), torch.randint(0, 1000, (lesson.batch,))
        noisy_BCHW = schedule.add_noise(latents_BCHW, noise_BCHW, t_B).to(device, memory_format=torch.channels_last)
        with torch.autocast(device, torch.bfloat16):
            predicted_BCHW = compiled(noisy_BCHW, t_B.to(device), ids_BL).float()
        error_B = (predicted_BCHW - noise_BCHW.to(device)).square().mean(dim=(1, 2, 3))
        return (error_B * weight(compute_snr(schedule, t_B)).to(device)).mean()

    fit(denoiser, loss_at, plan, work / "denoiser.pt")
