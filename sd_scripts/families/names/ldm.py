"""Stable Diffusion's original ("LDM") layout and the diffusers layout: U-Net, VAE and text encoders, both ways.

The tables are made from a model's own config, so they hold for any number of levels and layers.
Source: the state dicts of both programs; LDM's U-Net counts its input, middle and output blocks through.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .tables import Names, rename_all, reverse, under

UNET, VAE = "model.diffusion_model.", "first_stage_model."
LOGIT_SCALE = 4.6052
"""How OpenCLIP scaled its comparison of pictures and texts in the end: ln 100. Files hold it; nothing here uses it."""

_EDGES = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0", "conv_out": "out.2", "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}  # fmt: skip
_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
_VAE_RESNET = {"norm1": "norm1", "conv1": "conv1", "norm2": "norm2", "conv2": "conv2", "conv_shortcut": "nin_shortcut"}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def _sub(ours: str, theirs: str, table: Mapping[str, str]) -> Names:
    return {f"{ours}.{a}": f"{theirs}.{b}" for a, b in table.items()}


def unet_names(config: Mapping[str, Any]) -> Names:
    """diffusers prefix -> LDM prefix, of a UNet2DConditionModel with this config."""
    names: Names = dict(_EDGES)
    names |= _down_names(config["down_block_types"], config["layers_per_block"])
    for k in range(2):
        names |= _sub(f"mid_block.resnets.{k}", f"middle_block.{2 * k}", _RESNET)
    names["mid_block.attentions.0"] = "middle_block.1"
    return names | _up_names(config["up_block_types"], config["layers_per_block"] + 1)


def _down_names(blocks: tuple[str, ...], layers: int) -> Names:
    names: Names = {}
    n = 1
    for i, block in enumerate(blocks):
        for j in range(layers):
            names |= _sub(f"down_blocks.{i}.resnets.{j}", f"input_blocks.{n}.0", _RESNET)
            if "CrossAttn" in block:
                names[f"down_blocks.{i}.attentions.{j}"] = f"input_blocks.{n}.1"
            n += 1
        if i < len(blocks) - 1:
            names[f"down_blocks.{i}.downsamplers.0.conv"] = f"input_blocks.{n}.0.op"
            n += 1
    return names


def _up_names(blocks: tuple[str, ...], layers: int) -> Names:
    names: Names = {}
    for i, block in enumerate(blocks):
        attends = "CrossAttn" in block
        for j in range(layers):
            n = i * layers + j
            names |= _sub(f"up_blocks.{i}.resnets.{j}", f"output_blocks.{n}.0", _RESNET)
            if attends:
                names[f"up_blocks.{i}.attentions.{j}"] = f"output_blocks.{n}.1"
        if i < len(blocks) - 1:
            names[f"up_blocks.{i}.upsamplers.0.conv"] = f"output_blocks.{n}.{1 + attends}.conv"
    return names


def vae_names(config: Mapping[str, Any]) -> Names:
    """diffusers prefix -> LDM prefix, of an AutoencoderKL with this config."""
    names: Names = {"quant_conv": "quant_conv", "post_quant_conv": "post_quant_conv"}
    levels, layers = len(config["down_block_types"]), config["layers_per_block"]
    for half in ("encoder", "decoder"):
        names |= {
            f"{half}.conv_in": f"{half}.conv_in",
            f"{half}.conv_norm_out": f"{half}.norm_out",
            f"{half}.conv_out": f"{half}.conv_out",
        }
        for k in range(2):
            names |= _sub(f"{half}.mid_block.resnets.{k}", f"{half}.mid.block_{k + 1}", _VAE_RESNET)
        names |= _sub(f"{half}.mid_block.attentions.0", f"{half}.mid.attn_1", _VAE_ATTENTION)
    for i in range(levels):
        theirs = levels - 1 - i
        for j in range(layers):
            names |= _sub(f"encoder.down_blocks.{i}.resnets.{j}", f"encoder.down.{i}.block.{j}", _VAE_RESNET)
        for j in range(layers + 1):
            names |= _sub(f"decoder.up_blocks.{i}.resnets.{j}", f"decoder.up.{theirs}.block.{j}", _VAE_RESNET)
        if i < levels - 1:
            names[f"encoder.down_blocks.{i}.downsamplers.0.conv"] = f"encoder.down.{i}.downsample.conv"
            names[f"decoder.up_blocks.{i}.upsamplers.0.conv"] = f"decoder.up.{theirs}.upsample.conv"
    return names


def unet_to_ldm(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    return rename_all(tensors, unet_names(config))


def unet_from_ldm(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    return rename_all(tensors, reverse(unet_names(config)))


def vae_to_ldm(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """LDM's attention in the middle is made of 1x1 convolutions."""
    named = rename_all(tensors, vae_names(config))
    return {
        key: value[:, :, None, None] if _is_vae_attention(key) and value.ndim == 2 else value
        for key, value in named.items()
    }


def vae_from_ldm(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    flat = {
        key: value[:, :, 0, 0] if _is_vae_attention(key) and value.ndim == 4 else value
        for key, value in tensors.items()
    }
    return rename_all(flat, reverse(vae_names(config)))


def _is_vae_attention(key: str) -> bool:
    return ".mid.attn_1." in key and key.endswith(".weight") and ".norm." not in key


_OPENCLIP = {"token_embedding": "embeddings.token_embedding", "ln_final": "final_layer_norm"}
_OPENCLIP_LAYER = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}


def _openclip_names(layers: int) -> Names:
    names = dict(_OPENCLIP)
    for i in range(layers):
        names |= _sub(f"transformer.resblocks.{i}", f"encoder.layers.{i}", _OPENCLIP_LAYER)
    return names


def text_from_clip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """CLIPTextModel's tensors without the `text_model` level that some versions of transformers have."""
    plain = under("text_model.", tensors) or dict(tensors)
    return {
        key: value
        for key, value in plain.items()
        if not key.endswith("position_ids") and not key.startswith("text_projection")
    }


def text_from_openclip(tensors: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """The first `layers` blocks of OpenCLIP's text encoder as a CLIPTextModel's tensors."""
    found = rename_all(tensors, _openclip_names(layers))
    found["embeddings.position_embedding.weight"] = tensors["positional_embedding"]
    for i in range(layers):
        for kind in ("weight", "bias"):
            joined = tensors[f"transformer.resblocks.{i}.attn.in_proj_{kind}"]
            for name, part in zip("qkv", joined.chunk(3), strict=True):
                found[f"encoder.layers.{i}.self_attn.{name}_proj.{kind}"] = part
    return found


def text_to_openclip(tensors: Mapping[str, Tensor], layers: int, spare: int) -> dict[str, Tensor]:
    """A CLIPTextModel's tensors as OpenCLIP's.

    spare: blocks after the last one. Stable Diffusion 2 uses OpenCLIP without its last block, but files hold it: a copy
    of the one before stands for it.
    """
    tensors = text_from_clip(tensors)
    ours = tensors | {
        _layer(key, layers - 1, layers + i): value.clone()
        for i in range(spare)
        for key, value in tensors.items()
        if key.startswith(f"encoder.layers.{layers - 1}.")
    }
    found = rename_all(ours, reverse(_openclip_names(layers + spare)))
    found["positional_embedding"] = tensors["embeddings.position_embedding.weight"]
    for i in range(layers + spare):
        for kind in ("weight", "bias"):
            parts = [ours[f"encoder.layers.{i}.self_attn.{name}_proj.{kind}"] for name in "qkv"]
            found[f"transformer.resblocks.{i}.attn.in_proj_{kind}"] = torch.cat(parts)
    return found


def _layer(key: str, old: int, new: int) -> str:
    return key.replace(f"encoder.layers.{old}.", f"encoder.layers.{new}.", 1)


def openclip_summary(projection: Tensor) -> dict[str, Tensor]:
    """What OpenCLIP's text encoder has beyond its blocks, of the weight of CLIP's projection: it multiplies from the
    other side."""
    return {"text_projection": projection.T.contiguous(), "logit_scale": torch.tensor(LOGIT_SCALE)}
