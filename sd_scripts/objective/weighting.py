"""How much each timestep counts, as a table over all timesteps: the step then only looks up.

All formulas use the schedule before it is changed by zero_terminal_snr, so no SNR is 0 and none is infinite.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..config.loss import LossConfig
from .timesteps import snr

LARGEST_SNR = 1000.0
"""The first steps of a schedule carry almost no noise; their SNR is cut here, so that no weight vanishes."""


def min_snr(snr_T: Tensor, gamma: float, is_v: bool) -> Tensor:
    """min(snr, gamma) / snr, or / (snr + 1) for velocity (Hang et al. 2023, "Efficient Diffusion Training", eq. 7)."""
    return snr_T.clamp(max=gamma) / (snr_T + 1 if is_v else snr_T)


def scale_v(snr_T: Tensor) -> Tensor:
    """snr / (snr + 1): makes a velocity loss weigh its timesteps as a noise loss does."""
    s_T = snr_T.clamp(max=LARGEST_SNR)
    return s_T / (s_T + 1)


def v_pred_like(snr_T: Tensor, share: float) -> Tensor:
    """1 + share * (snr + 1) / snr: adds `share` of what a velocity loss would weigh to a noise loss."""
    return 1 + share / scale_v(snr_T)


def debiased(snr_T: Tensor, is_v: bool) -> Tensor:
    """1 / sqrt(snr), or 1 / (snr + 1) for velocity (Yu et al. 2024, "Unmasking Bias in Diffusion Model Training")."""
    s_T = snr_T.clamp(max=LARGEST_SNR)
    return 1 / (s_T + 1) if is_v else s_T.rsqrt()


def table(alphas_cumprod_T: Tensor, config: LossConfig, is_v: bool) -> Tensor | None:
    """The product of all weights that are switched on, per timestep; None when there is none."""
    chosen: list[tuple[bool, Callable[[Tensor], Tensor]]] = [
        (config.min_snr_gamma > 0, lambda snr_T: min_snr(snr_T, config.min_snr_gamma, is_v)),
        (config.scale_v_pred_loss_like_noise_pred, scale_v),
        (config.v_pred_like_loss > 0, lambda snr_T: v_pred_like(snr_T, config.v_pred_like_loss)),
        (config.debiased_estimation_loss, lambda snr_T: debiased(snr_T, is_v)),
    ]
    factors = [weight(snr(alphas_cumprod_T)) for is_on, weight in chosen if is_on]
    return torch.stack(factors).prod(dim=0) if factors else None
