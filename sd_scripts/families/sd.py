"""Stable Diffusion 1.x and 2.x."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from . import text
from .base import Condition, Target
from .latent_diffusion import LatentDiffusion
from .parts import TextKind
from .text import Reading

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

    from ..config.model import ModelConfig

PROJECTIONS = ("_proj_in", "_proj_out")


class StableDiffusion1(LatentDiffusion):
    name = "sd1"
    texts = (TextKind("text_encoder", "tokenizer", "cond_stage_model.transformer.", "lora_te"),)

    def reading_of(self, model: ModelConfig) -> Reading:
        layers, skip = self.text_encoders[0].config.num_hidden_layers, model.clip_skip or 1
        if skip > layers:
            raise UserError(
                f"clip_skip: It is {skip}, but the model's text encoder has {layers} layers; set at most {layers}."
            )
        padded = not model.no_token_padding
        return Reading(model.max_token_length or text.CHUNK, skip, model.weighted_captions, padded=padded)

    def encode_captions(self, captions: Sequence[str]) -> Condition:
        return Condition(text.encode(captions, self.tokenizers[0], self.text_encoders[0], self.reading))

    def pipeline(self, scheduler: Any) -> StableDiffusionPipeline:
        from diffusers import StableDiffusionPipeline

        return StableDiffusionPipeline(
            **self.pipeline_parts(), scheduler=scheduler, safety_checker=None, feature_extractor=None,
            requires_safety_checker=False,
        )  # fmt: skip


class StableDiffusion2(StableDiffusion1):
    name = "sd2"
    texts = (
        TextKind(
            "text_encoder", "tokenizer", "cond_stage_model.model.", "lora_te", pad="!", open_clip=True, spare_blocks=1
        ),
    )

    def adapter_targets(self, conv: bool, more: bool = False) -> list[Target]:
        """sd-scripts turns a single file's projections into convolutions, and so they are in its networks' files."""
        targets = super().adapter_targets(conv, more)
        if self.layout == "diffusers":
            return targets
        return [replace(target, stored_as_convolution=target.name.endswith(PROJECTIONS)) for target in targets]
