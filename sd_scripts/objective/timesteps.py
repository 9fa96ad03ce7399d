"""Timesteps and the noise schedule they index."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_timesteps(size: int, low: int, high: int, generator: torch.Generator) -> Tensor:
    """`size` whole numbers, uniform in low <= t < high, drawn on the CPU."""
    return torch.randint(low, high, (size,), generator=generator)


def zero_terminal_snr(alphas_cumprod_T: Tensor) -> Tensor:
    """The schedule with no signal left at the last step, and its first step unchanged.

    sqrt(a) is shifted so that it ends at 0, then scaled back to where it began (Lin et al. 2023, "Common Diffusion
    Noise Schedules and Sample Steps are Flawed", algorithm 1).
    """
    root_T = alphas_cumprod_T.sqrt()
    first, last = root_T[0], root_T[-1]
    return ((root_T - last) * (first / (first - last))).square()


def snr(alphas_cumprod_T: Tensor) -> Tensor:
    """Signal-to-noise ratio a / (1 - a) of every step."""
    return alphas_cumprod_T / (1 - alphas_cumprod_T)
