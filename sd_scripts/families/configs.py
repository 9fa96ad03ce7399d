"""The configs of networks in single files, which hold tensors only: told from the tensors' names and shapes.

What shapes can't tell (heads, normalization groups) is as in Stable Diffusion, unless the file was written by this
program, which notes the configs in the header.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

Shape = tuple[int, ...]
Config = dict[str, Any]
Noted = Mapping[str, Config]
"""Name of a network's folder -> its config."""

NOTED = "sd_scripts_configs"
"""Key of the header's metadata under which this program notes the configs of what it wrote."""

SAMPLE_SIZE = {"sd1": 64, "sd2": 96, "sdxl": 128}
SIZE_NUMBERS, SIZE_CHANNELS = 6, 256
"""SDXL is told six sizes, each embedded in so many channels."""
SCALING_FACTOR = {"sd1": 0.18215, "sd2": 0.18215, "sdxl": 0.13025}
"""What makes latents' deviation 1."""
NOISE_SCHEDULE: Config = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
}
"""The noise schedule of Stable Diffusion 1.x, 2.x and XL."""


def noted_configs(metadata: Mapping[str, str] | None) -> dict[str, Config]:
    """{"unet": ..., "vae": ..., "text_encoder": ...}, as far as the file's header notes them."""
    return dict(json.loads((metadata or {}).get(NOTED, "{}")))


def note_configs(**configs: Mapping[str, Any]) -> dict[str, str]:
    """The metadata of a file that holds networks with these configs."""
    plain = {
        name: {key: value for key, value in config.items() if not key.startswith("_")}
        for name, config in configs.items()
    }
    return {NOTED: json.dumps(plain, sort_keys=True)}


def _count(shapes: Mapping[str, Shape], pattern: str) -> int:
    """How many numbers, from 0 on, stand where `pattern` has `(\\d+)`."""
    found = {int(match[1]) for match in (re.match(pattern, key) for key in shapes) if match}
    return max(found, default=-1) + 1


def unet_config(shapes: Mapping[str, Shape], family: str) -> Config:
    """Of a U-Net in the original layout, names without `model.diffusion_model.`."""
    levels: list[tuple[int, bool]] = []
    layers = 0
    for n in range(1, _count(shapes, r"input_blocks\.(\d+)\.")):
        if f"input_blocks.{n}.0.op.weight" in shapes:
            continue
        follows_downsampler = f"input_blocks.{n - 1}.0.op.weight" in shapes
        level = (shapes[f"input_blocks.{n}.0.out_layers.3.weight"][0], f"input_blocks.{n}.1.norm.weight" in shapes)
        if n == 1 or follows_downsampler:
            levels.append(level)
        layers = max(layers, 1) if n == 1 else layers + (len(levels) == 1)
    channels = [width for width, _ in levels]
    return _size_config(shapes, levels) | {
        "sample_size": SAMPLE_SIZE[family],
        "in_channels": shapes["input_blocks.0.0.weight"][1],
        "out_channels": shapes["out.2.weight"][0],
        "block_out_channels": channels,
        "layers_per_block": layers,
        "down_block_types": ["CrossAttnDownBlock2D" if attends else "DownBlock2D" for _, attends in levels],
        "up_block_types": ["CrossAttnUpBlock2D" if attends else "UpBlock2D" for _, attends in reversed(levels)],
        "cross_attention_dim": shapes["middle_block.1.transformer_blocks.0.attn2.to_k.weight"][1],
        "attention_head_dim": 8 if family == "sd1" else [width // 64 for width in channels],
        "use_linear_projection": len(shapes["middle_block.1.proj_in.weight"]) == 2,
    }


def _size_config(shapes: Mapping[str, Shape], levels: list[tuple[int, bool]]) -> Config:
    """What a U-Net that is told the sizes of pictures (SDXL) has beyond others: that, and deeper attention networks."""
    if "label_emb.0.0.weight" not in shapes:
        return {}
    depths = [_depth_of_level(shapes, width) if attends else 0 for width, attends in levels]
    return {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": SIZE_CHANNELS,
        "projection_class_embeddings_input_dim": shapes["label_emb.0.0.weight"][1],
        "transformer_layers_per_block": [depth or 1 for depth in depths],
    }


def _depth_of_level(shapes: Mapping[str, Shape], width: int) -> int:
    """How many transformer blocks the attention networks of the level with so many channels have on the way down."""
    start = next(
        key.removesuffix("norm.weight")
        for key, shape in shapes.items()
        if re.fullmatch(r"input_blocks\.\d+\.1\.norm\.weight", key) and shape[0] == width
    )
    return _count(shapes, rf"{re.escape(start)}transformer_blocks\.(\d+)\.")


def vae_config(shapes: Mapping[str, Shape], family: str = "sd1") -> Config:
    """Of a family's VAE in the original layout, names without `first_stage_model.`."""
    levels = _count(shapes, r"encoder\.down\.(\d+)\.")
    return {
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "block_out_channels": [shapes[f"encoder.down.{i}.block.0.conv2.weight"][0] for i in range(levels)],
        "layers_per_block": _count(shapes, r"encoder\.down\.0\.block\.(\d+)\."),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "sample_size": 1024 if family == "sdxl" else 512,
        "scaling_factor": SCALING_FACTOR[family],
    }


def clip_config(shapes: Mapping[str, Shape]) -> Config:
    """Of the CLIP text encoder in Stable Diffusion 1.x files (transformers' names without `text_model.`)."""
    config = _text_config(
        shapes, r"encoder\.layers\.(\d+)\.", "embeddings.token_embedding.weight", "embeddings.position_embedding.weight"
    )
    return config | {
        "intermediate_size": shapes["encoder.layers.0.mlp.fc1.weight"][0],
        "hidden_act": "quick_gelu",
        "pad_token_id": 49407,
    }


def openclip_config(shapes: Mapping[str, Shape], spare: int = 1) -> Config:
    """Of the OpenCLIP text encoder in Stable Diffusion 2.x and XL files, without the last `spare` blocks."""
    config = _text_config(shapes, r"transformer\.resblocks\.(\d+)\.", "token_embedding.weight", "positional_embedding")
    layers = config["num_hidden_layers"] - spare
    intermediate = shapes["transformer.resblocks.0.mlp.c_fc.weight"][0]
    return config | {
        "num_hidden_layers": layers,
        "intermediate_size": intermediate,
        "projection_dim": shapes.get("text_projection", (0, config["hidden_size"]))[1],
        "hidden_act": "gelu",
        "pad_token_id": 0,
    }


def _text_config(shapes: Mapping[str, Shape], layers: str, tokens: str, positions: str) -> Config:
    vocabulary, width = shapes[tokens]
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": _count(shapes, layers),
        "num_attention_heads": max(width // 64, 1),
        "max_position_embeddings": shapes[positions][0],
        "projection_dim": width,
        "bos_token_id": 49406,
        "eos_token_id": 49407,
    }


def with_noted(noted: Noted, name: str, told: Callable[[], Config]) -> Config:
    """The noted config of a network where there is one, else what its shapes tell."""
    return dict(noted[name]) if name in noted else told()
