"""A Stable Diffusion model's networks and tokenizers, made from a diffusers folder or from one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer, PreTrainedModel

from ..errors import UserError
from . import configs
from .configs import Noted
from .names import ldm
from .names.tables import under
from .sources import read_tensors, readable, shapes_of

TOKENIZER = Path(__file__).resolve().parents[1] / "starter" / "model" / "tokenizer"
"""CLIP's vocabulary, which every Stable Diffusion uses. The starter model carries it, so no download is needed."""

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class TextKind:
    """One text encoder of a family, and where its parts are kept.

    folder, tokenizer: their names in a diffusers folder. original: what its tensors' names begin with in a single file.
    adapter_prefix: what its layers' names begin with in adapter files. pad: what short captions are filled up with.
    open_clip: single files hold it as OpenCLIP lays it out. spare_blocks: blocks after the last one in use that single
    files hold. summary: it has a projection, which gives captions as a whole.
    """

    folder: str
    tokenizer: str
    original: str
    adapter_prefix: str
    pad: str = "<|endoftext|>"
    open_clip: bool = False
    spare_blocks: int = 0
    summary: bool = False

    @property
    def network(self) -> Any:
        return CLIPTextModelWithProjection if self.summary else CLIPTextModel


@dataclass
class Parts:
    unet: UNet2DConditionModel
    text_encoders: list[Any]
    tokenizers: list[CLIPTokenizer]
    vae: AutoencoderKL | None


def from_folder(
    path: Path, kinds: Sequence[TextKind], dtype: torch.dtype, with_vae: bool, device: str = "cpu"
) -> Parts:
    """A diffusers folder's networks, read straight to a device. Raises UserError where one is missing or damaged."""
    for part in ("unet", *(kind.folder for kind in kinds), *(("vae",) if with_vae else ())):
        if not (path / part).is_dir():
            raise UserError(f"{path} is not complete: it has no {part} folder.")
    return Parts(
        unet=_pretrained(UNet2DConditionModel, path / "unet", dtype, device),
        text_encoders=[_pretrained(kind.network, path / kind.folder, dtype, device) for kind in kinds],
        tokenizers=[_tokenizer(path, kind) for kind in kinds],
        vae=_pretrained(AutoencoderKL, path / "vae", dtype, device) if with_vae else None,
    )


def _pretrained(kind: Any, folder: Path, dtype: torch.dtype, device: str = "cpu") -> Any:
    """`kind.from_pretrained`, also where only the half-precision variant of the weights is there."""
    names = [file.name for file in folder.iterdir() if file.suffix in (".safetensors", ".bin")]
    variant = "fp16" if names and all(".fp16." in name for name in names) else None
    wanted = {"dtype": dtype} if issubclass(kind, PreTrainedModel) else {"torch_dtype": dtype}
    there = {} if device == "cpu" else {"device_map": device}
    with readable(folder):
        return kind.from_pretrained(folder, local_files_only=True, variant=variant, **wanted, **there)


def _tokenizer(path: Path, kind: TextKind) -> CLIPTokenizer:
    if (path / kind.tokenizer).is_dir():
        with readable(path / kind.tokenizer):
            return CLIPTokenizer.from_pretrained(path / kind.tokenizer, local_files_only=True)
    return own_tokenizer(kind.pad)


def own_tokenizer(pad: str = "<|endoftext|>") -> CLIPTokenizer:
    return CLIPTokenizer(
        str(TOKENIZER / "vocab.json"), str(TOKENIZER / "merges.txt"), model_max_length=77, pad_token=pad
    )


def from_tensors(tensors: Tensors, noted: Noted, family: str, kinds: Sequence[TextKind], dtype: torch.dtype) -> Parts:
    """The networks of a file in the original layout. Raises what `incomplete` turns into a sentence."""
    return Parts(
        unet=_unet(tensors, noted, family, dtype),
        text_encoders=[_text_encoder(tensors, noted, kind, dtype) for kind in kinds],
        tokenizers=[own_tokenizer(kind.pad) for kind in kinds],
        vae=vae_from_tensors(tensors, noted, family, dtype),
    )


def _filled(network: nn.Module, tensors: Tensors, dtype: torch.dtype) -> Any:
    """A network made without memory, given its tensors. Raises RuntimeError where some are missing or too many."""
    missing, unknown = network.load_state_dict(
        {key: value.to(dtype) for key, value in tensors.items()}, strict=False, assign=True
    )
    if missing:
        raise RuntimeError(f"{len(missing)} tensors are missing, such as {missing[0]}")
    if unknown:
        raise RuntimeError(f"{len(unknown)} tensors have no place in it, such as {unknown[0]}")
    return network.eval()


def _unet(tensors: Tensors, noted: Noted, family: str, dtype: torch.dtype) -> UNet2DConditionModel:
    own = under(ldm.UNET, tensors)
    config = configs.with_noted(noted, "unet", lambda: configs.unet_config(shapes_of(own), family))
    with init_empty_weights(include_buffers=False):
        unet = UNet2DConditionModel.from_config(config)
    return _filled(unet, ldm.unet_from_ldm(own, unet.config), dtype)


def vae_from_tensors(tensors: Tensors, noted: Noted, family: str, dtype: torch.dtype) -> AutoencoderKL:
    """The VAE of a checkpoint, or of a file of its own in the original layout."""
    own = under(ldm.VAE, tensors) or dict(tensors)
    config = configs.with_noted(noted, "vae", lambda: configs.vae_config(shapes_of(own), family))
    with init_empty_weights(include_buffers=False):
        vae = AutoencoderKL.from_config(config)
    return _filled(vae, ldm.vae_from_ldm(own, vae.config), dtype)


def _text_encoder(tensors: Tensors, noted: Noted, kind: TextKind, dtype: torch.dtype) -> Any:
    own = under(kind.original, tensors)
    if kind.open_clip:
        told = configs.with_noted(
            noted, kind.folder, lambda: configs.openclip_config(shapes_of(own), kind.spare_blocks)
        )
        named = ldm.text_from_openclip(own, told["num_hidden_layers"])
    else:
        named = ldm.text_from_clip(own)
        told = configs.with_noted(noted, kind.folder, lambda: configs.clip_config(shapes_of(named)))
    with init_empty_weights(include_buffers=False):
        encoder = kind.network(CLIPTextConfig(**told))
    _filled(getattr(encoder, "text_model", encoder), named, dtype)
    if kind.summary:
        _filled(encoder.text_projection, {"weight": own["text_projection"].T.contiguous()}, dtype)
    return encoder.eval()


def original_text(encoder: Any, kind: TextKind) -> dict[str, Tensor]:
    """A text encoder's tensors under their names in the original layout."""
    tensors = encoder.state_dict()
    if not kind.open_clip:
        return {f"{kind.original}text_model.{key}": value for key, value in ldm.text_from_clip(tensors).items()}
    named = ldm.text_to_openclip(tensors, encoder.config.num_hidden_layers, kind.spare_blocks)
    if kind.summary:
        named |= ldm.openclip_summary(tensors["text_projection.weight"])
    return {kind.original + key: value for key, value in named.items()}


def other_vae(path: Path, family: str, dtype: torch.dtype) -> AutoencoderKL:
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
    with incomplete(f"vae: {path}", "VAE"):
        return vae_from_tensors(tensors, configs.noted_configs(metadata), family, dtype)


@contextmanager
def incomplete(path: str, noun: str) -> Iterator[None]:
    """Turns what is raised where tensors are missing into a sentence."""
    try:
        yield
    except (KeyError, RuntimeError, IndexError, ValueError) as error:
        text = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is not a complete {noun} ({text}); get it again.") from error
