"""What LyCORIS reaches in a Stable Diffusion U-Net beyond LoRA's layers, and what part a layer plays there."""

from __future__ import annotations

from torch import nn

from ..base import Target

ENDS = ("conv_in", "conv_out")
TIMES = ("time_embedding.linear_1", "time_embedding.linear_2")
FIRST = 0
"""The block of the first convolution among the 25; the other layers here lie in none."""


def role_of(path: str) -> str:
    """A layer's path in the U-Net or the text encoder -> attention, mlp, projection, resnet, sampler, end or time.

    A normalization has the role of what it stands in, where it is no attention.
    """
    for mark, role in (
        (".attn", "attention"), ("self_attn.", "attention"), (".ff.", "mlp"), ("mlp.", "mlp"),
        (".attentions.", "projection"), (".resnets.", "resnet"), ("samplers.", "sampler"), ("time_embedding.", "time"),
    ):  # fmt: skip
        if mark in path:
            return role
    return "end" if path in ENDS else ""


def more_unet_targets(unet: nn.Module, block_of: dict[str, int]) -> list[Target]:
    """The first and last convolution, the time embedding, and every normalization inside the blocks.

    block_of: path of an attention or residual network -> its block among the 25.
    """
    found = [
        Target(_name(path), unet.get_submodule(path), "unet", FIRST if path == "conv_in" else None, role=role_of(path))
        for path in (*ENDS, *TIMES)
    ]
    for parent, block in block_of.items():
        for path, module in unet.get_submodule(parent).named_modules(prefix=parent):
            if isinstance(module, nn.GroupNorm | nn.LayerNorm):
                found.append(Target(_name(path), module, "unet", block, role=role_of(path)))
    return found


def _name(path: str) -> str:
    return f"lora_unet_{path.replace('.', '_')}"
