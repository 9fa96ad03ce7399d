"""The noise that is laid over the latents.

Every number is drawn on the CPU, so that all devices train on the same noise, and sent over without waiting for the
device. Nothing here reads a value back.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..config.noise import NoiseConfig


def sample_noise(latents_BCHW: Tensor, config: NoiseConfig, generator: torch.Generator) -> Tensor:
    """Gaussian noise for these latents, then the noise offset, then the coarser octaves; dtype float32."""
    noise_BCHW = normal(latents_BCHW.shape, latents_BCHW.device, generator)
    if config.noise_offset:
        strength = sample_strength(config.noise_offset, config.noise_offset_random_strength, generator)
        noise_BCHW = add_offset(noise_BCHW, latents_BCHW, strength, config.adaptive_noise_scale, generator)
    if config.multires_noise_iterations:
        discount = config.multires_noise_discount
        noise_BCHW = add_octaves(noise_BCHW, config.multires_noise_iterations, discount, generator)
    return noise_BCHW


def add_offset(
    noise_BCHW: Tensor, latents_BCHW: Tensor, strength: float, adaptive: float, generator: torch.Generator
) -> Tensor:
    """noise + max(0, strength + adaptive * |mean of the latents per channel|) * N(0, 1) per sample and channel.

    Source: crosslabs.org, "Diffusion with Offset Noise".
    """
    constant_BC11 = normal((*noise_BCHW.shape[:2], 1, 1), noise_BCHW.device, generator)
    if not adaptive:
        return noise_BCHW + strength * constant_BC11
    mean_BC11 = latents_BCHW.float().mean(dim=(2, 3), keepdim=True).abs()
    return noise_BCHW + (strength + adaptive * mean_BC11).clamp(min=0) * constant_BC11


def add_octaves(noise_BCHW: Tensor, iterations: int, discount: float, generator: torch.Generator) -> Tensor:
    """Pyramid noise: octave i is noise at 1/r^i of the size, r uniform in 2..4, enlarged and weighted by discount^i.

    It ends at the first octave with a side of one, and the sum is brought back to a standard deviation of 1.
    Source: J. Whitaker, "Multi-Resolution Noise for Diffusion Model Training".
    """
    size_HW = noise_BCHW.shape[2:]
    for octave in range(iterations):
        r = 2 + 2 * float(torch.rand((), generator=generator))
        height, width = (max(1, int(side / r**octave)) for side in size_HW)
        coarse = normal((*noise_BCHW.shape[:2], height, width), noise_BCHW.device, generator)
        noise_BCHW = noise_BCHW + functional.interpolate(coarse, size=size_HW, mode="bilinear") * discount**octave
        if 1 in (height, width):
            break
    return noise_BCHW / noise_BCHW.std()


def perturb(noise_BCHW: Tensor, config: NoiseConfig, generator: torch.Generator) -> Tensor:
    """The noise that the latents really get: noise + gamma * N(0, 1), while the target keeps the clean noise.

    Source: Ning et al. 2023, "Input Perturbation Reduces Exposure Bias in Diffusion Models".
    """
    if not config.ip_noise_gamma:
        return noise_BCHW
    gamma = sample_strength(config.ip_noise_gamma, config.ip_noise_gamma_random_strength, generator)
    return noise_BCHW + gamma * normal(noise_BCHW.shape, noise_BCHW.device, generator)


def add_noise(latents_BCHW: Tensor, noise_BCHW: Tensor, alphas_cumprod_B: Tensor) -> Tensor:
    """sqrt(a) * latents + sqrt(1 - a) * noise (Ho et al. 2020, "Denoising Diffusion Probabilistic Models", eq. 4)."""
    a_B111 = alphas_cumprod_B.view(-1, 1, 1, 1)
    return (a_B111.sqrt() * latents_BCHW + (1 - a_B111).sqrt() * noise_BCHW).to(latents_BCHW.dtype)


def sample_strength(largest: float, is_random: bool, generator: torch.Generator) -> float:
    """`largest`, or one number for the whole batch, uniform in 0..largest."""
    return largest * float(torch.rand((), generator=generator)) if is_random else largest


def normal(shape: tuple[int, ...], device: torch.device, generator: torch.Generator) -> Tensor:
    return to_device(torch.randn(shape, generator=generator), device)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Without waiting for the device: CUDA copies asynchronously from pinned memory only."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
