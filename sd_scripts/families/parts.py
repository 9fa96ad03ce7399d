"""A Stable Diffusion 1.x or 2.x model's networks and tokenizer, made from a diffusers folder or from one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ..errors import UserError
from . import configs
from .names import ldm
from .names.tables import under
from .sources import read_tensors, readable, shapes_of

TOKENIZER = Path(__file__).resolve().parents[1] / "starter" / "model" / "tokenizer"
"""CLIP's vocabulary, which every Stable Diffusion uses. The starter model carries it, so no download is needed."""
PAD = {"sd1": "<|endoftext|>", "sd2": "!"}


@dataclass
class Parts:
    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    vae: AutoencoderKL | None
    scheduler: dict[str, Any]


def from_folder(path: Path, dtype: torch.dtype, with_vae: bool) -> Parts:
    """A diffusers folder's networks. Raises UserError where one is missing or damaged."""
    from .detect import read_json

    for part in ("unet", "text_encoder", *(("vae",) if with_vae else ())):
        if not (path / part).is_dir():
            raise UserError(f"{path} is not complete: it has no {part} folder.")
    scheduler = path / "scheduler" / "scheduler_config.json"
    return Parts(
        unet=_pretrained(UNet2DConditionModel, path / "unet", dtype),
        text_encoder=_pretrained(CLIPTextModel, path / "text_encoder", dtype),
        tokenizer=_tokenizer(path),
        vae=_pretrained(AutoencoderKL, path / "vae", dtype) if with_vae else None,
        scheduler=read_json(scheduler) if scheduler.is_file() else {},
    )


def _pretrained(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """`kind.from_pretrained`, also where only the half-precision variant of the weights is there."""
    names = [file.name for file in folder.iterdir() if file.suffix in (".safetensors", ".bin")]
    variant = "fp16" if names and all(".fp16." in name for name in names) else None
    wanted = {"dtype": dtype} if issubclass(kind, CLIPTextModel) else {"torch_dtype": dtype}
    with readable(folder):
        return kind.from_pretrained(folder, local_files_only=True, variant=variant, **wanted)


def _tokenizer(path: Path) -> CLIPTokenizer:
    if (path / "tokenizer").is_dir():
        with readable(path / "tokenizer"):
            return CLIPTokenizer.from_pretrained(path / "tokenizer", local_files_only=True)
    return own_tokenizer("sd1")


def own_tokenizer(family: str) -> CLIPTokenizer:
    return CLIPTokenizer(
        str(TOKENIZER / "vocab.json"), str(TOKENIZER / "merges.txt"), model_max_length=77, pad_token=PAD[family]
    )


def from_file(path: Path, dtype: torch.dtype, family: str | None) -> tuple[Parts, str]:
    """The networks of a file in the original layout, and the family they are of. Raises UserError."""
    tensors, metadata = read_tensors(path)
    family = family or _family_of(tensors, path)
    noted = configs.noted_configs(metadata)
    try:
        parts = Parts(
            unet=_unet(tensors, noted, family, dtype),
            text_encoder=_text_encoder(tensors, noted, family, dtype),
            tokenizer=own_tokenizer(family),
            vae=vae_from_tensors(tensors, noted, dtype),
            scheduler={},
        )
    except (KeyError, RuntimeError, IndexError, ValueError) as error:
        raise UserError(
            f"{path} is not a complete Stable Diffusion model ({' '.join(str(error).split())[:200]}); get it again."
        ) from error
    return parts, family


def _family_of(tensors: Mapping[str, Tensor], path: Path) -> str:
    if not any(key.startswith(ldm.UNET) for key in tensors):
        raise UserError(f"{path} is not a Stable Diffusion model: it holds no U-Net in the original layout.")
    if any(key.startswith("conditioner.") for key in tensors):
        return "sdxl"
    return "sd2" if any(key.startswith(ldm.TEXT_2) for key in tensors) else "sd1"


def _filled(network: nn.Module, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> Any:
    """A network made without memory, given its tensors. Raises RuntimeError where some are missing."""
    missing, _ = network.load_state_dict(
        {key: value.to(dtype) for key, value in tensors.items()}, strict=False, assign=True
    )
    if missing:
        raise RuntimeError(f"{len(missing)} tensors are missing, such as {missing[0]}")
    return network.eval()


def _unet(
    tensors: Mapping[str, Tensor], noted: Mapping[str, Any], family: str, dtype: torch.dtype
) -> UNet2DConditionModel:
    own = under(ldm.UNET, tensors)
    config = configs.with_noted(noted, "unet", lambda: configs.unet_config(shapes_of(own), family))
    with init_empty_weights(include_buffers=False):
        unet = UNet2DConditionModel.from_config(config)
    return _filled(unet, ldm.unet_from_ldm(own, unet.config), dtype)


def vae_from_tensors(tensors: Mapping[str, Tensor], noted: Mapping[str, Any], dtype: torch.dtype) -> AutoencoderKL:
    """The VAE of a checkpoint, or of a file of its own in the original layout."""
    own = under(ldm.VAE, tensors) or dict(tensors)
    config = configs.with_noted(noted, "vae", lambda: configs.vae_config(shapes_of(own)))
    with init_empty_weights(include_buffers=False):
        vae = AutoencoderKL.from_config(config)
    return _filled(vae, ldm.vae_from_ldm(own, vae.config), dtype)


def _text_encoder(
    tensors: Mapping[str, Tensor], noted: Mapping[str, Any], family: str, dtype: torch.dtype
) -> CLIPTextModel:
    if family == "sd2":
        own = under(ldm.TEXT_2, tensors)
        config = configs.with_noted(noted, "text_encoder", lambda: configs.openclip_config(shapes_of(own)))
        named = ldm.text_from_openclip(own, config["num_hidden_layers"])
    else:
        named = ldm.text_from_clip(under("cond_stage_model.transformer.", tensors))
        config = configs.with_noted(noted, "text_encoder", lambda: configs.clip_config(shapes_of(named)))
    with init_empty_weights(include_buffers=False):
        encoder = CLIPTextModel(CLIPTextConfig(**config))
    _filled(getattr(encoder, "text_model", encoder), named, dtype)
    return encoder.eval()


def other_vae(path: Path, dtype: torch.dtype) -> AutoencoderKL:
    """The VAE that the `vae` setting names: a diffusers folder (a VAE's or a whole model's) or an original file."""
    if path.is_dir():
        return _pretrained(AutoencoderKL, path if (path / "config.json").is_file() else path / "vae", dtype)
    tensors, metadata = read_tensors(path)
    own = under(ldm.VAE, tensors) or tensors
    if "encoder.conv_in.weight" not in own:
        raise UserError(
            f"vae: {path} holds no VAE; give a VAE's file or folder, or leave it empty for the model's own."
        )
    if "encoder.conv_norm_out.weight" in own:
        raise UserError(
            f"vae: {path} is in the diffusers layout; name the folder it lies in, which has its config.json."
        )
    try:
        return vae_from_tensors(tensors, configs.noted_configs(metadata), dtype)
    except (KeyError, RuntimeError, IndexError, ValueError) as error:
        raise UserError(
            f"vae: {path} is not a complete VAE ({' '.join(str(error).split())[:200]}); get it again."
        ) from error
