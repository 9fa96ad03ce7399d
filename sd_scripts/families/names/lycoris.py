"""What LyCORIS reaches in a Stable Diffusion U-Net beyond LoRA's layers, and what part a layer plays there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

ENDS = ("conv_in", "conv_out")
TIMES = ("time_embedding.linear_1", "time_embedding.linear_2")
SIZES = ("add_embedding.linear_1", "add_embedding.linear_2")
"""What SDXL embeds the sizes of pictures with."""


def role_of(path: str) -> str:
    """A layer's path in the U-Net or the text encoder -> attention, mlp, projection, resnet, downsampler,
    upsampler, end or time.

    A normalization has the role of what it stands in, where it is no attention.
    """
    for mark, role in (
        (".attn", "attention"), ("self_attn.", "attention"), (".ff.", "mlp"), ("mlp.", "mlp"),
        (".attentions.", "projection"), (".resnets.", "resnet"), ("downsamplers.", "downsampler"),
        ("upsamplers.", "upsampler"), ("_embedding.", "time"),
    ):  # fmt: skip
        if mark in path:
            return role
    return "end" if path in ENDS else ""


def lycoris_paths(unet: Any, reached: Sequence[str]) -> list[str]:
    """The first and last convolution, what is embedded, and every normalization inside the blocks.

    reached: the layers that LoRA reaches, by which the attention and residual networks are known.
    """
    embeddings = TIMES + (SIZES if getattr(unet, "add_embedding", None) else ())
    parents = dict.fromkeys(".".join(path.split(".")[: _depth(path)]) for path in reached)
    norms = [
        path
        for parent in parents
        for path, module in unet.get_submodule(parent).named_modules(prefix=parent)
        if isinstance(module, nn.GroupNorm | nn.LayerNorm)
    ]
    return [*ENDS, *embeddings, *norms]


def _depth(path: str) -> int:
    """How many parts of a layer's path name the attention or residual network that it stands in."""
    return 3 if path.startswith("mid_block") else 4
