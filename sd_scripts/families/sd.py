"""Stable Diffusion 1.x and 2.x."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from ..config.schema import Notice
from ..errors import UserError
from . import attention, eight_bits, parts, text
from .base import Condition, Draws, ModelFamily, Pictures, Target
from .configs import NOISE_SCHEDULE
from .detect import Detected, detect
from .names import lora
from .sources import locate

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

    from ..config.model import ModelConfig
    from ..config.precision import PrecisionConfig

COMPUTE = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
WORDS = {"sd1": "Stable Diffusion 1.x", "sd2": "Stable Diffusion 2.x", "sdxl": "Stable Diffusion XL"}


class StableDiffusion(ModelFamily):
    def __init__(
        self, name: str, loaded: parts.Parts, prediction_type: str, compute_dtype: torch.dtype, reading: text.Reading
    ) -> None:
        self.name = name
        self.unet = loaded.unet
        self.text_encoders = [loaded.text_encoder]
        self.tokenizers = [loaded.tokenizer]
        self.vae = loaded.vae
        self.prediction_type = prediction_type
        self.compute_dtype = compute_dtype
        self.reading = reading
        self.scaling_factor = self.vae.config.scaling_factor
        self.vae_factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.noise_schedule = dict(NOISE_SCHEDULE)
        self.notices: list[Notice] = []
        for network in self.networks:
            network.requires_grad_(False).eval()

    @classmethod
    def load(cls, model: ModelConfig, precision: PrecisionConfig) -> StableDiffusion:
        dtype = COMPUTE[precision.mixed_precision]
        path = locate(model.pretrained_model_name_or_path, "pretrained_model_name_or_path")
        found = detect(path)
        check_family(path, found.family, model.family)
        if found.layout == "diffusers":
            loaded = parts.from_folder(path, dtype, with_vae=not model.vae)
        else:
            loaded, family = parts.from_file(path, dtype, found.family)
            check_family(path, family, model.family)
        if model.vae:
            loaded.vae = parts.other_vae(locate(model.vae, "vae", ()), dtype)
        return cls._made(model, precision, loaded, found)

    @classmethod
    def _made(
        cls, model: ModelConfig, precision: PrecisionConfig, loaded: parts.Parts, found: Detected
    ) -> StableDiffusion:
        dtype = COMPUTE[precision.mixed_precision]
        reading = text.Reading(model.max_token_length or text.CHUNK, model.clip_skip or 1, model.weighted_captions)
        made = cls(model.family, loaded, "v_prediction" if model.v_parameterization else "epsilon", dtype, reading)
        made._check_clip_skip()
        made.notices += prediction_notices(found.prediction_type, made.prediction_type)
        made.notices += attention.choose([made.unet, made.vae], precision)
        if model.no_half_vae:
            made.vae.float()
        return made.to("cuda") if model.lowram and torch.cuda.is_available() else made

    def _check_clip_skip(self) -> None:
        layers = self.text_encoders[0].config.num_hidden_layers
        if self.reading.clip_skip > layers:
            raise UserError(
                f"clip_skip: It is {self.reading.clip_skip}, but the model's text encoder has {layers} layers; "
                f"set at most {layers}."
            )

    def encode_images(self, pixels_BCHW: Tensor, generator: Draws = None) -> Tensor:
        step = self.vae_batch_size or len(pixels_BCHW)
        pixels_BCHW = pixels_BCHW.to(self.vae.device, self.vae.dtype)
        with torch.no_grad(), torch.autocast(self.vae.device.type, enabled=False):
            moments = [self.vae.encode(part).latent_dist for part in pixels_BCHW.split(step)]
            mean_BCHW = torch.cat([part.mean for part in moments]).float()
            if generator is None:
                return mean_BCHW
            noise_BCHW = randn_tensor(mean_BCHW.shape, generator, torch.device("cpu")).to(mean_BCHW.device)
            return mean_BCHW + torch.cat([part.std for part in moments]).float() * noise_BCHW

    def condition(self, captions: Pictures | Sequence[str]) -> Condition:
        words = captions if isinstance(captions, Sequence) else captions.captions
        return Condition(text.encode(words, self.tokenizers[0], self.text_encoders[0], self.reading))

    def predict(self, noisy_BCHW: Tensor, t_B: Tensor, condition: Condition) -> Tensor:
        text_BTC = condition.text_BTC.to(self.device, self.compute_dtype)
        return self.unet(noisy_BCHW.to(self.compute_dtype), t_B, encoder_hidden_states=text_BTC).sample

    def adapter_targets(self, conv: bool, more: bool = False) -> list[Target]:
        return [*lora.text_targets(self.text_encoders[0]), *lora.unet_targets(self.unet, conv, more)]

    def pipeline(self, scheduler: Any) -> StableDiffusionPipeline:
        from diffusers import StableDiffusionPipeline

        return StableDiffusionPipeline(
            vae=self.vae, text_encoder=self.text_encoders[0], tokenizer=self.tokenizers[0], unet=self.unet,
            scheduler=scheduler, safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        )  # fmt: skip

    def store_in_8_bits(self, text_encoder: bool) -> None:
        """Keeps the frozen U-Net's weights in 8 bits, and with `text_encoder` its weights too."""
        for network in [self.unet, *(self.text_encoders if text_encoder else [])]:
            eight_bits.store_in_8_bits(network, self.compute_dtype)

    def checkpoint_gradients(self) -> None:
        """Computes activations twice in place of keeping them."""
        self.unet.enable_gradient_checkpointing()
        for text_encoder in self.text_encoders:
            text_encoder.activation_checkpointing_enable()


def check_family(path: Path, found: str | None, wanted: str) -> None:
    """Raises UserError where the file is of another family than the settings say."""
    if found in (None, wanted):
        return
    if found == "sdxl":
        raise UserError(
            f"{path} is a {WORDS['sdxl']} model, which can't be trained here yet; choose a 1.x or 2.x model."
        )
    raise UserError(f"v2: {path} is a {WORDS[found]} model; turn v2 {'on' if found == 'sd2' else 'off'}.")


def prediction_notices(found: str | None, chosen: str) -> list[Notice]:
    """A diffusers folder says what its model predicts; a file does not."""
    if found in (None, chosen) or found not in ("epsilon", "v_prediction"):
        return []
    state = "on" if found == "v_prediction" else "off"
    return [
        Notice(
            "v_parameterization",
            f"The model's own config says that it predicts {found}; turn this {state} unless you know better.",
        )
    ]
