"""Which modules of a Stable Diffusion 1.x or 2.x model a LoRA reaches, what they are called in files, and their blocks.

The names are those of sd-scripts. They are written from this table and never from module paths, which change with the
library: transformers 5 dropped the `text_model` level that every program expects in the names.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from ..base import Target
from .lycoris import more_unet_targets, role_of

ATTENTION_LAYERS = (
    "attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "ff.net.0.proj", "ff.net.2",
    "attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0",
)  # fmt: skip
RESNET_LAYERS = ("conv1", "time_emb_proj", "conv2", "conv_shortcut")
TEXT_LAYERS = ("self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2")
MIDDLE = 12
"""The index of the middle block among the U-Net's 25."""


def down_block(i: int, j: int) -> int:
    """Layer j of down block i among the 25: two layers and a downsampler (j = 2) each; 0 is the first convolution."""
    return 1 + 3 * i + j


def up_block(i: int, j: int) -> int:
    """Layer j of up block i among the 25: each holds three layers; the upsampler counts with the last."""
    return MIDDLE + 1 + 3 * i + j


def unet_targets(unet: nn.Module, convolutions: bool, more: bool = False) -> list[Target]:
    """The layers of all transformer blocks and, with `convolutions`, of residual blocks, down- and upsamplers.

    more: what LyCORIS reaches too.
    """
    blocks = {".".join(path.split(".")[: _depth(path)]): block for path, block in _unet_paths(unet, True)}
    return [
        Target(
            f"lora_unet_{path.replace('.', '_')}",
            unet.get_submodule(path),
            "unet",
            block,
            path.endswith((".proj_in", ".proj_out")),
            role_of(path),
        )
        for path, block in _unet_paths(unet, convolutions)
    ] + (more_unet_targets(unet, blocks) if more else [])


def _depth(path: str) -> int:
    """How many parts of a layer's path name the attention or residual network that it stands in."""
    return 3 if path.startswith("mid_block") else 4


def _unet_paths(unet: nn.Module, convolutions: bool) -> Iterator[tuple[str, int]]:
    for i, block in enumerate(unet.down_blocks):
        yield from _block_paths(
            block, f"down_blocks.{i}", [down_block(i, j) for j in range(len(block.resnets))], convolutions
        )
        if convolutions and block.downsamplers:
            yield f"down_blocks.{i}.downsamplers.0.conv", down_block(i, 2)
    yield from _block_paths(unet.mid_block, "mid_block", [MIDDLE] * len(unet.mid_block.resnets), convolutions)
    for i, block in enumerate(unet.up_blocks):
        yield from _block_paths(
            block, f"up_blocks.{i}", [up_block(i, j) for j in range(len(block.resnets))], convolutions
        )
        if convolutions and block.upsamplers:
            yield f"up_blocks.{i}.upsamplers.0.conv", up_block(i, 2)


def _block_paths(block: nn.Module, path: str, indices: list[int], convolutions: bool) -> Iterator[tuple[str, int]]:
    for j, attention in enumerate(getattr(block, "attentions", [])):
        yield f"{path}.attentions.{j}.proj_in", indices[j]
        for k in range(len(attention.transformer_blocks)):
            for layer in ATTENTION_LAYERS:
                yield f"{path}.attentions.{j}.transformer_blocks.{k}.{layer}", indices[j]
        yield f"{path}.attentions.{j}.proj_out", indices[j]
    for j, resnet in enumerate(block.resnets if convolutions else []):
        for layer in RESNET_LAYERS:
            if getattr(resnet, layer) is not None:
                yield f"{path}.resnets.{j}.{layer}", indices[j]


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
