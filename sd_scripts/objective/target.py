"""What the network should answer."""

from __future__ import annotations

from torch import Tensor


def velocity(latents_BCHW: Tensor, noise_BCHW: Tensor, alphas_cumprod_B: Tensor) -> Tensor:
    """sqrt(a) * noise - sqrt(1 - a) * latents (Salimans and Ho 2022, "Progressive Distillation", appendix D)."""
    a_B111 = alphas_cumprod_B.view(-1, 1, 1, 1)
    return a_B111.sqrt() * noise_BCHW - (1 - a_B111).sqrt() * latents_BCHW


def target(prediction_type: str, latents_BCHW: Tensor, noise_BCHW: Tensor, alphas_cumprod_B: Tensor) -> Tensor:
    """The noise itself for "epsilon", the velocity for "v_prediction"; float32."""
    if prediction_type == "epsilon":
        return noise_BCHW
    if prediction_type == "v_prediction":
        return velocity(latents_BCHW.float(), noise_BCHW, alphas_cumprod_B)
    raise ValueError(f"There is no target for the prediction type {prediction_type!r}.")
