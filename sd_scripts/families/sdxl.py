"""Stable Diffusion XL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..config.schema import Notice
from . import detect, text
from .base import Condition, Pictures
from .detect import Detected
from .latent_diffusion import LatentDiffusion
from .names import sdxl
from .parts import TextKind
from .text import Reading

if TYPE_CHECKING:
    from diffusers import StableDiffusionXLPipeline

    from ..config.model import ModelConfig
    from ..config.precision import PrecisionConfig


class StableDiffusionXL(LatentDiffusion):
    """Reads captions by two text encoders, and is told the sizes of pictures."""

    name = "sdxl"
    texts = (
        TextKind("text_encoder", "tokenizer", "conditioner.embedders.0.transformer.", "lora_te1"),
        TextKind(
            "text_encoder_2", "tokenizer_2", "conditioner.embedders.1.model.", "lora_te2", pad="!", open_clip=True,
            summary=True,
        ),
    )  # fmt: skip
    naming = sdxl.ORIGINAL

    def reading_of(self, model: ModelConfig) -> Reading:
        return Reading(model.max_token_length or text.CHUNK, 2, model.weighted_captions, normalized=False)

    def _set_up(self, model: ModelConfig, precision: PrecisionConfig, found: Detected) -> None:
        super()._set_up(model, precision, found)
        if self.vae.dtype == torch.float16 and self.vae.config.force_upcast:
            self.notices.append(
                Notice("no_half_vae", "SDXL's own VAE goes wrong in fp16; turn this on if pictures come out black.")
            )

    def encode_captions(self, captions: Sequence[str]) -> Condition:
        """Both encoders' states side by side; the second one's projection gives the captions as a whole."""
        one_BTC = text.encode(captions, self.tokenizers[0], self.text_encoders[0], self.reading)
        two_BTC, pooled_BD = text.encode_and_sum_up(captions, self.tokenizers[1], self.text_encoders[1], self.reading)
        return Condition(torch.cat([one_BTC, two_BTC.to(one_BTC.dtype)], -1), pooled_BD)

    def condition(self, batch: Pictures | Sequence[str]) -> Condition:
        told = super().condition(batch)
        if isinstance(batch, Sequence):
            return told
        sizes = zip(batch.original_sizes_hw, batch.crop_top_lefts, batch.target_sizes_hw, strict=True)
        return replace(told, sizes_B6=torch.tensor([[*original, *crop, *target] for original, crop, target in sizes]))

    def added_conditions(self, noisy_BCHW: Tensor, condition: Condition) -> dict[str, Tensor]:
        sizes_B6 = self._uncut(noisy_BCHW) if condition.sizes_B6 is None else condition.sizes_B6
        assert condition.pooled_BD is not None
        return {
            "text_embeds": condition.pooled_BD.to(self.device, self.compute_dtype),
            "time_ids": sizes_B6.to(self.device, torch.float32),
        }

    def marks(self, schedule: Mapping[str, Any]) -> dict[str, Tensor]:
        """Most models of XL predict noise, so that ComfyUI and others take velocity only from files that say so."""
        if self.prediction_type != "v_prediction":
            return {}
        names = [detect.VELOCITY, *([detect.ZERO_SNR] if schedule.get("rescale_betas_zero_snr") else [])]
        return {name: torch.zeros(0) for name in names}

    def _uncut(self, noisy_BCHW: Tensor) -> Tensor:
        """Sizes of pictures that were made for these latents."""
        count, _, *latent_size = noisy_BCHW.shape
        height, width = (side * self.vae_factor for side in latent_size)
        return torch.tensor([[height, width, 0, 0, height, width]] * count)

    def pipeline(self, scheduler: Any) -> StableDiffusionXLPipeline:
        from diffusers import StableDiffusionXLPipeline

        return StableDiffusionXLPipeline(
            **self.pipeline_parts(), scheduler=scheduler, force_zeros_for_empty_prompt=False, add_watermarker=False
        )
