"""Which modules of a Stable Diffusion model a LoRA reaches, what they are called in files, and their blocks.

The names are those of sd-scripts. They are written from this table and never from module paths, which change with the
library: transformers 5 dropped the `text_model` level that every program expects in the names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from torch import nn

from ..base import Target
from .lycoris import lycoris_paths, role_of

ATTENTION_LAYERS = (
    "attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "ff.net.0.proj", "ff.net.2",
    "attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0",
)  # fmt: skip
RESNET_LAYERS = ("conv1", "time_emb_proj", "conv2", "conv_shortcut")
TEXT_LAYERS = ("self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2")
MIDDLE = 12
"""The index of the middle block among the 25 of Stable Diffusion 1.x and 2.x."""
FIRST = 0
"""The block of the first convolution."""


def down_block(i: int, j: int) -> int:
    """Layer j of down block i among the 25: two layers and a downsampler (j = 2) each; 0 is the first convolution."""
    return 1 + 3 * i + j


def up_block(i: int, j: int) -> int:
    """Layer j of up block i among the 25: each holds three layers; the upsampler counts with the last."""
    return MIDDLE + 1 + 3 * i + j


class Naming(Protocol):
    """What files call a U-Net's layers, and the blocks that these lie in. path, config: diffusers'."""

    def name(self, path: str, config: Mapping[str, Any]) -> str: ...
    def block(self, path: str, config: Mapping[str, Any]) -> int | None: ...


class Diffusers:
    """Layers are called by their paths in diffusers."""

    def name(self, path: str, config: Mapping[str, Any]) -> str:
        return f"lora_unet_{path.replace('.', '_')}"

    def block(self, path: str, config: Mapping[str, Any]) -> int | None:
        place = re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)", path)
        if place is None:
            return MIDDLE if path.startswith("mid_block.") else FIRST if path == "conv_in" else None
        block = down_block if place[1] == "down" else up_block
        return block(int(place[2]), 2 if place[3].endswith("samplers") else int(place[4]))


DIFFUSERS = Diffusers()


def unet_targets(unet: Any, naming: Naming, convolutions: bool, more: bool = False) -> list[Target]:
    """The layers of all transformer blocks and, with `convolutions`, of residual blocks, down- and upsamplers.

    more: what LyCORIS reaches too.
    """
    paths = list(_unet_paths(unet, convolutions))
    if more:
        paths += lycoris_paths(unet, [*_unet_paths(unet, True)])
    return [
        Target(
            naming.name(path, unet.config),
            unet.get_submodule(path),
            "unet",
            naming.block(path, unet.config),
            role=role_of(path),
        )
        for path in paths
    ]


def _unet_paths(unet: nn.Module, convolutions: bool) -> Iterator[str]:
    for i, block in enumerate(unet.down_blocks):
        yield from _block_paths(block, f"down_blocks.{i}", convolutions)
        if convolutions and block.downsamplers:
            yield f"down_blocks.{i}.downsamplers.0.conv"
    yield from _block_paths(unet.mid_block, "mid_block", convolutions)
    for i, block in enumerate(unet.up_blocks):
        yield from _block_paths(block, f"up_blocks.{i}", convolutions)
        if convolutions and block.upsamplers:
            yield f"up_blocks.{i}.upsamplers.0.conv"


def _block_paths(block: nn.Module, path: str, convolutions: bool) -> Iterator[str]:
    for j, attention in enumerate(getattr(block, "attentions", [])):
        yield f"{path}.attentions.{j}.proj_in"
        for k in range(len(attention.transformer_blocks)):
            for layer in ATTENTION_LAYERS:
                yield f"{path}.attentions.{j}.transformer_blocks.{k}.{layer}"
        yield f"{path}.attentions.{j}.proj_out"
    for j, resnet in enumerate(block.resnets if convolutions else []):
        for layer in RESNET_LAYERS:
            if getattr(resnet, layer) is not None:
                yield f"{path}.resnets.{j}.{layer}"


def text_targets(text_encoder: nn.Module, prefix: str = "lora_te", part: str = "text_encoder") -> list[Target]:
    """The layers of all transformer blocks of a CLIP text encoder."""
    body = getattr(text_encoder, "text_model", text_encoder)
    return [
        Target(
            f"{prefix}_text_model_encoder_layers_{i}_{layer.replace('.', '_')}",
            block.get_submodule(layer),
            part,
            role=role_of(layer),
        )
        for i, block in enumerate(body.encoder.layers)
        for layer in TEXT_LAYERS
    ]
