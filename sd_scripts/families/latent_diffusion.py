"""What every Stable Diffusion has in common: a U-Net on a VAE's latents, told what to draw by CLIP text encoders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor
from typing_extensions import Self

from ..config.block_weights import BLOCKS
from ..config.schema import Notice
from . import attention, configs, eight_bits, parts
from .base import Condition, Draws, ModelFamily, Target
from .detect import Detected, check_family, detect, family_of_names
from .names import ldm, lora
from .sources import locate, read_tensors
from .text import CHUNK, Reading

if TYPE_CHECKING:
    from ..config.model import ModelConfig
    from ..config.precision import PrecisionConfig

COMPUTE = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class LatentDiffusion(ModelFamily):
    texts: ClassVar[Sequence[parts.TextKind]]
    """Its text encoders, in the order of `text_encoders` and `tokenizers`."""
    naming: ClassVar[lora.Naming] = lora.DIFFUSERS
    """What the U-Net's layers are called in adapter files, and which block each lies in."""

    def __init__(self, loaded: parts.Parts, model: ModelConfig, compute_dtype: torch.dtype) -> None:
        self.unet = loaded.unet
        self.text_encoders = loaded.text_encoders
        self.tokenizers = loaded.tokenizers
        self.vae = loaded.vae
        self.prediction_type = "v_prediction" if model.v_parameterization else "epsilon"
        self.compute_dtype = compute_dtype
        self.reading = self.reading_of(model)
        self.scaling_factor = self.vae.config.scaling_factor
        self.vae_factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.noise_schedule = dict(configs.NOISE_SCHEDULE)
        self.blocks = BLOCKS[self.name]
        self.notices: list[Notice] = []
        for network in self.networks:
            network.requires_grad_(False).eval()

    @classmethod
    def load(cls, model: ModelConfig, precision: PrecisionConfig) -> Self:
        dtype, device = COMPUTE[precision.mixed_precision], loading_device(model)
        path = locate(model.pretrained_model_name_or_path, "pretrained_model_name_or_path")
        found = detect(path)
        check_family(path, found.family, cls.name)
        if found.layout == "diffusers":
            loaded = parts.from_folder(path, cls.texts, dtype, not model.vae, device)
        else:
            loaded = cls._from_file(path, dtype, device)
        if model.vae:
            loaded.vae = parts.other_vae(locate(model.vae, "vae", ()), cls.name, dtype)
        made = cls(loaded, model, dtype)
        made.layout = "diffusers" if found.layout == "diffusers" else "original"
        made._set_up(model, precision, found)
        return made if device == "cpu" else made.to(device)

    @classmethod
    def _from_file(cls, path: Path, dtype: torch.dtype, device: str) -> parts.Parts:
        tensors, metadata = read_tensors(path, device)
        check_family(path, family_of_names(tensors, path), cls.name)
        with parts.incomplete(str(path), "Stable Diffusion model"):
            return parts.from_tensors(tensors, configs.noted_configs(metadata), cls.name, cls.texts, dtype)

    def _set_up(self, model: ModelConfig, precision: PrecisionConfig, found: Detected) -> None:
        self.notices += prediction_notices(found.prediction_type, self.prediction_type)
        self.notices += attention.choose([self.unet, self.vae], precision)
        if model.no_half_vae:
            self.vae.float()

    def reading_of(self, model: ModelConfig) -> Reading:
        """How captions are read. Raises UserError for what these text encoders can't do."""
        return Reading(model.max_token_length or CHUNK, weighted=model.weighted_captions)

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

    def predict(self, noisy_BCHW: Tensor, t_B: Tensor, condition: Condition) -> Tensor:
        text_BTC = condition.text_BTC.to(self.device, self.compute_dtype)
        added = self.added_conditions(noisy_BCHW, condition)
        return self.unet(
            noisy_BCHW.to(self.compute_dtype), t_B, encoder_hidden_states=text_BTC, added_cond_kwargs=added
        ).sample

    def added_conditions(self, noisy_BCHW: Tensor, condition: Condition) -> dict[str, Tensor] | None:
        """What the U-Net is told besides the captions token by token."""
        return None

    def adapter_targets(self, conv: bool, more: bool = False) -> list[Target]:
        targets = [
            target
            for kind, encoder in zip(self.texts, self.text_encoders, strict=True)
            for target in lora.text_targets(encoder, kind.adapter_prefix, kind.folder)
        ]
        return targets + lora.unet_targets(self.unet, self.naming, conv, more)

    def original_tensors(self) -> dict[str, Tensor]:
        unet = ldm.unet_to_ldm(self.unet.state_dict(), self.unet.config)
        vae = ldm.vae_to_ldm(self.vae.state_dict(), self.vae.config)
        found = {ldm.UNET + key: value for key, value in unet.items()}
        found |= {ldm.VAE + key: value for key, value in vae.items()}
        for kind, encoder in zip(self.texts, self.text_encoders, strict=True):
            found |= parts.original_text(encoder, kind)
        return found

    def noted_configs(self) -> dict[str, str]:
        encoders = zip(self.texts, self.text_encoders, strict=True)
        texts = {kind.folder: encoder.config.to_dict() for kind, encoder in encoders}
        return configs.note_configs(unet=self.unet.config, vae=self.vae.config, **texts)

    def store_in_8_bits(self, text_encoder: bool) -> None:
        for network in [self.unet, *(self.text_encoders if text_encoder else [])]:
            eight_bits.store_in_8_bits(network, self.compute_dtype)

    def checkpoint_gradients(self) -> None:
        self.unet.enable_gradient_checkpointing()
        for text_encoder in self.text_encoders:
            text_encoder.activation_checkpointing_enable()

    def pipeline_parts(self) -> dict[str, Any]:
        """The networks and tokenizers under their names in a diffusers pipeline."""
        named = {kind.folder: encoder for kind, encoder in zip(self.texts, self.text_encoders, strict=True)}
        named |= {kind.tokenizer: tokenizer for kind, tokenizer in zip(self.texts, self.tokenizers, strict=True)}
        return {"unet": self.unet, "vae": self.vae, **named}


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


def loading_device(model: ModelConfig) -> str:
    """Where the weights are read to: with `lowram` the GPU, past the computer's memory."""
    return "cuda" if model.lowram and torch.cuda.is_available() else "cpu"
