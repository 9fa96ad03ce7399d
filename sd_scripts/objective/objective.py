"""The objective of one run: how latents are disturbed, and what the answer to that costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config.loss import LossConfig
from ..config.noise import NoiseConfig
from ..errors import ConfigError
from . import loss as errors
from . import weighting
from .noise import add_noise, perturb, sample_noise, to_device
from .target import target
from .timesteps import sample_timesteps, zero_terminal_snr


@dataclass(frozen=True)
class Noisy:
    """Disturbed latents and all that is needed to judge an answer to them."""

    latents_BCHW: Tensor
    timesteps_B: Tensor
    target_BCHW: Tensor
    noise_BCHW: Tensor


class Objective:
    """Noise, timesteps, target, loss and weights as the settings ask for them.

    `alphas_cumprod_T` is the model's own schedule; `prediction_type` is "epsilon" or "v_prediction".
    Raises ConfigError when a weight does not go with the prediction type.
    """

    def __init__(self, noise: NoiseConfig, loss: LossConfig, alphas_cumprod_T: Tensor, prediction_type: str) -> None:
        if problems := list(loss.problems_with(prediction_type)):
            raise ConfigError(problems)
        self.noise_config, self.loss_config, self.prediction_type = noise, loss, prediction_type
        self.steps = len(alphas_cumprod_T)
        original_T = alphas_cumprod_T.float().cpu()
        self._alphas_cumprod_T = zero_terminal_snr(original_T) if noise.zero_terminal_snr else original_T
        self._weights_T = weighting.table(original_T, loss, prediction_type == "v_prediction")
        self._widths_T = errors.width_table(loss, self._alphas_cumprod_T)

    def disturb(self, latents_BCHW: Tensor, generator: torch.Generator, timesteps_B: Tensor | None = None) -> Noisy:
        """Noise these scaled latents at timesteps drawn by `generator` (a CPU one), or at the given ones."""
        self._move(latents_BCHW.device)
        noise_BCHW = sample_noise(latents_BCHW, self.noise_config, generator)
        if timesteps_B is None:
            timesteps_B = self._sample_timesteps(len(latents_BCHW), generator)
        t_B = to_device(timesteps_B, latents_BCHW.device)
        a_B = self._alphas_cumprod_T[t_B]
        return Noisy(
            latents_BCHW=add_noise(latents_BCHW, perturb(noise_BCHW, self.noise_config, generator), a_B),
            timesteps_B=t_B,
            target_BCHW=target(self.prediction_type, latents_BCHW, noise_BCHW, a_B),
            noise_BCHW=noise_BCHW,
        )

    def losses(self, predicted_BCHW: Tensor, noisy: Noisy, masks_B1HW: Tensor | None = None) -> Tensor:
        """The loss of each sample: mean error over its (masked) pixels times the weight of its timestep; float32."""
        self._move(predicted_BCHW.device)
        t_B = noisy.timesteps_B
        width_B = None if self._widths_T is None else self._widths_T[t_B]
        error_BCHW = errors.error(self.loss_config.loss_type, predicted_BCHW.float(), noisy.target_BCHW, width_B)
        if masks_B1HW is not None:
            error_BCHW = errors.apply_mask(error_BCHW, masks_B1HW)
        loss_B = error_BCHW.mean(dim=(1, 2, 3))
        return loss_B if self._weights_T is None else loss_B * self._weights_T[t_B]

    def loss(
        self, predicted_BCHW: Tensor, noisy: Noisy, masks_B1HW: Tensor | None = None, weights_B: Tensor | None = None
    ) -> Tensor:
        """The mean over the batch of each sample's loss times its own weight (regularisation images: the prior's)."""
        loss_B = self.losses(predicted_BCHW, noisy, masks_B1HW)
        return loss_B.mean() if weights_B is None else (loss_B * weights_B.to(loss_B)).mean()

    def _sample_timesteps(self, size: int, generator: torch.Generator) -> Tensor:
        high = min(self.noise_config.max_timestep, self.steps)
        return sample_timesteps(size, self.noise_config.min_timestep, high, generator)

    def _move(self, device: torch.device) -> None:
        """Tables follow the latents once, so that no step copies them again."""
        if self._alphas_cumprod_T.device == device:
            return
        self._alphas_cumprod_T = self._alphas_cumprod_T.to(device)
        self._weights_T = None if self._weights_T is None else self._weights_T.to(device)
        self._widths_T = None if self._widths_T is None else self._widths_T.to(device)
