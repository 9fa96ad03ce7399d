"""Sizes told without torch are those of the networks themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sd_scripts import sizes

ROOT = Path(__file__).parents[1]
STARTER = "sd_scripts/starter/model"
SDXL = {
    "block_out_channels": (320, 640, 1280), "transformer_layers_per_block": [1, 2, 10],
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": [5, 10, 20], "cross_attention_dim": 2048, "use_linear_projection": True,
    "addition_embed_type": "text_time", "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip
UNETS = {
    "sd1": {"cross_attention_dim": 768},
    "sd2": {"cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True},
    "sdxl": SDXL,
}
TEXT_ENCODERS = {  # width, layers, whether it ends in a projection
    ("sd1", "text_encoder"): (768, 12, False), ("sd2", "text_encoder"): (1024, 23, False),
    ("sdxl", "text_encoder"): (768, 12, False), ("sdxl", "text_encoder_2"): (1280, 32, True),
}  # fmt: skip


def shapes(module):
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("family", UNETS)
def test_the_family_s_unet_is_as_its_tensors_say(family):
    import torch
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        found = sizes.from_shapes({"unet": shapes(UNet2DConditionModel(**UNETS[family]))}).parts["unet"]
    told = sizes.of_family(family).parts["unet"]
    assert (told.parameters, told.width) == (found.parameters, found.width)
    assert sorted(told.attention.flat) == sorted(found.attention.flat)
    assert found.attention.square == () and found.around.square


@pytest.mark.parametrize("family, part", TEXT_ENCODERS)
def test_the_family_s_text_encoders_are_as_their_tensors_say(family, part):
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    width, layers, projects = TEXT_ENCODERS[family, part]
    config = CLIPTextConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=width // 64,
        projection_dim=width,
    )  # fmt: skip
    with torch.device("meta"):
        found = sizes.from_shapes({part: shapes((CLIPTextModelWithProjection if projects else CLIPTextModel)(config))})
    assert sizes.of_family(family).parts[part] == found.parts[part]


def test_the_starter_model_is_read_from_its_files():
    from sd_scripts.config import load
    from sd_scripts.families import load_family

    config = load.from_flat({}).unwrap()
    family = load_family(config.model, config.precision)
    found = sizes.of_model(STARTER, "sd1")
    assert found.exact and found.vae_factor == family.vae_factor == 4
    networks = {"unet": family.unet, "text_encoder": family.text_encoders[0], "vae": family.vae}
    assert {name: part.parameters for name, part in found.parts.items()} == {
        name: sum(tensor.numel() for tensor in network.parameters()) for name, network in networks.items()
    }


@pytest.mark.parametrize("name", ["owner/name", "nowhere/at/all", "pyproject.toml"])
def test_what_can_t_be_looked_into_is_taken_for_one_of_its_family(name):
    assert sizes.of_model(name, "sd2") == sizes.of_family("sd2")
    assert sizes.of_family("sd2").vae_factor == 8


def test_the_original_layout_says_the_same():
    """Attention, and what lies around it, go by other names; OpenCLIP joins query, key and value."""
    ours = sizes.from_shapes({
        "unet": {"conv_in.weight": (8, 4, 3, 3), "down_blocks.0.attentions.0.proj_in.weight": (8, 8, 1, 1),
                 "down_blocks.0.resnets.0.conv1.weight": (8, 8, 3, 3), "time_embedding.linear_1.weight": (32, 8)},
        "text_encoder": {f"encoder.layers.0.self_attn.{x}_proj.weight": (8, 8) for x in ("q", "k", "v")},
    })  # fmt: skip
    theirs = sizes.from_shapes({
        "unet": {"input_blocks.0.0.weight": (8, 4, 3, 3), "input_blocks.1.1.proj_in.weight": (8, 8, 1, 1),
                 "input_blocks.1.0.in_layers.2.weight": (8, 8, 3, 3), "time_embed.0.weight": (32, 8)},
        "text_encoder": {"model.transformer.resblocks.0.attn.in_proj_weight": (24, 8)},
    })  # fmt: skip
    assert ours == theirs
    assert ours.parts["unet"].around.square == ((8, 8),)


def test_no_torch_is_needed():
    code = f"import sys; from sd_scripts import estimate, sizes; sizes.of_model({STARTER!r}, 'sd1'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
