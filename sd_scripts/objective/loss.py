"""The error per latent pixel, the width of the Huber losses, and masks."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ..config.loss import LossConfig


def error(kind: str, predicted_BCHW: Tensor, target_BCHW: Tensor, width_B: Tensor | None) -> Tensor:
    """Per pixel, with d = predicted - target and c = the width of its sample; Raises ValueError for another kind.

    l2: d^2; l1: |d|; huber: 2c (sqrt(d^2 + c^2) - c); smooth_l1: 2 (sqrt(d^2 + c^2) - c).
    Source of the pseudo-Huber losses: Khrapov et al. 2024, "Improving Diffusion Models's Data-Corruption Resistance
    using Scheduled Pseudo-Huber Loss".
    """
    d_BCHW = predicted_BCHW - target_BCHW
    if kind == "l2":
        return d_BCHW.square()
    if kind == "l1":
        return d_BCHW.abs()
    if kind not in ("huber", "smooth_l1") or width_B is None:
        raise ValueError(f"There is no loss called {kind!r}.")
    c_B111 = width_B.view(-1, 1, 1, 1)
    rounded = 2 * ((d_BCHW.square() + c_B111.square()).sqrt() - c_B111)
    return c_B111 * rounded if kind == "huber" else rounded


def width_table(config: LossConfig, alphas_cumprod_T: Tensor) -> Tensor | None:
    """The Huber width c of every timestep; None for losses that have none.

    constant: huber_c * scale; exponential: huber_c^(t/T) * scale, so it falls from 1 to huber_c;
    snr: (1 - huber_c) / (1 + sigma)^2 + huber_c with sigma = sqrt((1 - a) / a).
    """
    if config.loss_type not in ("huber", "smooth_l1"):
        return None
    if config.huber_schedule == "constant":
        return torch.full_like(alphas_cumprod_T, config.huber_c * config.huber_scale)
    if config.huber_schedule == "exponential":
        share_T = torch.arange(len(alphas_cumprod_T)) / len(alphas_cumprod_T)
        return torch.exp(math.log(config.huber_c) * share_T) * config.huber_scale
    return (1 - config.huber_c) * _signal_share(alphas_cumprod_T).square() + config.huber_c


def _signal_share(alphas_cumprod_T: Tensor) -> Tensor:
    """1 / (1 + sigma), written so that a = 0 (no signal at all, sigma infinite) is 0."""
    signal_T, noise_T = alphas_cumprod_T.sqrt(), (1 - alphas_cumprod_T).sqrt()
    return signal_T / (signal_T + noise_T)


def apply_mask(error_BCHW: Tensor, mask_B1HW: Tensor) -> Tensor:
    """The error times the mask (0..1, any size), averaged down to the size of the latents."""
    mask = functional.interpolate(mask_B1HW.to(error_BCHW), size=error_BCHW.shape[2:], mode="area")
    return error_BCHW * mask
