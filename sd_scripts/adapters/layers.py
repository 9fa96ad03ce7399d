"""Which of a model's layers a network is trained on: sd-scripts' choice, or a preset of LyCORIS."""

from __future__ import annotations

from torch import nn

from ..config.layer_choice import WITHOUT_CONVOLUTIONS
from ..config.network import NetworkConfig
from .base import Target

TRANSFORMER = ("attention", "mlp", "projection")
RESIDUAL = ("resnet", "downsampler", "upsampler")
EVERYWHERE = (*TRANSFORMER, *RESIDUAL, "end", "time")
TEXT = ("attention", "mlp")

PRESETS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "full": (EVERYWHERE, TEXT),
    "full-lin": ((*TRANSFORMER, "resnet", "time"), TEXT),
    "attn-mlp": (TRANSFORMER, TEXT),
    "attn-only": (("attention",), ("attention",)),
    "unet-only": (EVERYWHERE, ()),
    "unet-transformer-only": (TRANSFORMER, ()),
    "unet-convblock-only": ((*RESIDUAL, "end"), ()),
}
"""Name -> roles of the U-Net's layers, and of the text encoder's."""

IA3_INPUTS = ("_ff_net_2", "_mlp_fc2")
IA3_LAYERS = ("_to_k", "_to_v", "_k_proj", "_v_proj", *IA3_INPUTS)
"""What the preset ia3 trains, by how the names end; the first two on their inputs."""


def is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.GroupNorm | nn.LayerNorm)


def is_spatial(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and tuple(module.kernel_size) != (1, 1)


def reaches(network: NetworkConfig, target: Target) -> bool:
    """Whether the target is one of the layers that the network's settings choose."""
    if is_norm(target.module) and not network.train_norm:
        return False
    chosen = network.chosen_layers
    if chosen is not None:
        return chosen.reaches(target.name, target.role, type(target.module).__name__, is_spatial(target.module))
    if network.layers:
        return _preset_reaches(network.layers, target)
    if network.kind == "oft":
        return target.part == "unet" and target.role in _oft_roles(network)
    return target.role in (*TRANSFORMER, *RESIDUAL, "")


def _preset_reaches(preset: str, target: Target) -> bool:
    if preset in WITHOUT_CONVOLUTIONS and is_spatial(target.module):
        return False
    if preset == "ia3":
        return target.name.endswith(IA3_LAYERS)
    unet_roles, text_roles = PRESETS[preset]
    return target.role in (unet_roles if target.part == "unet" else text_roles)


def _oft_roles(network: NetworkConfig) -> tuple[str, ...]:
    transformer = TRANSFORMER if network.enable_all_linear else ("attention",)
    return (*transformer, *RESIDUAL) if network.enable_conv else transformer
