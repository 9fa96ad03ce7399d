"""The layers that a LoRA reaches, their names in files, their shapes and blocks, against sd-scripts' list."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from sd_scripts import adapters
from sd_scripts.config.model import ModelConfig
from sd_scripts.config.network import NetworkConfig
from sd_scripts.families.base import Target
from sd_scripts.families.latent_diffusion import LatentDiffusion
from sd_scripts.families.names import lora
from sd_scripts.families.parts import Parts
from sd_scripts.families.sd import StableDiffusion1, StableDiffusion2
from sd_scripts.families.sdxl import StableDiffusionXL

SDXL_UNET = {
    "block_out_channels": (320, 640, 1280), "cross_attention_dim": 2048, "attention_head_dim": [5, 10, 20],
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), "use_linear_projection": True,
    "transformer_layers_per_block": [1, 2, 10], "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816, "sample_size": 128,
}  # fmt: skip
"""What SDXL's own config says where it differs from the library's defaults."""
REFERENCE = json.loads(gzip.decompress((Path(__file__).parent / "lora_shapes.json.gz").read_bytes()))
"""Model -> module -> [shape of lora_down, shape of lora_up] at rank 4."""


def text_config(width: int, layers: int, projection: int = 512) -> CLIPTextConfig:
    return CLIPTextConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=width // 64,
        projection_dim=projection,
    )  # fmt: skip


@pytest.fixture(scope="module")
def models() -> dict[str, LatentDiffusion]:
    """Full-size models without memory, as if of single files."""
    with torch.device("meta"):
        vae = AutoencoderKL()
        sd1 = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
        sd2 = UNet2DConditionModel(
            cross_attention_dim=1024, attention_head_dim=[5, 10, 20, 20], use_linear_projection=True
        )
        large, openclip = CLIPTextModel(text_config(768, 12)), CLIPTextModel(text_config(1024, 23))
        giant = CLIPTextModelWithProjection(text_config(1280, 32, 1280))
        made = {
            kind.name: kind(Parts(unet, texts, [], vae), ModelConfig(), torch.float32)
            for kind, unet, texts in (
                (StableDiffusion1, sd1, [large]),
                (StableDiffusion2, sd2, [openclip]),
                (StableDiffusionXL, UNet2DConditionModel(**SDXL_UNET), [large, giant]),
            )
        }
    for family in made.values():
        family.layout = "original"
    return made


def all_targets(models: dict[str, LatentDiffusion], name: str) -> list[Target]:
    return models[name.removesuffix("_conv")].adapter_targets(conv=name.endswith("_conv"))


@pytest.mark.parametrize(
    ("name", "count"),
    [("sd1", 264), ("sd1_conv", 350), ("sd2", 330), ("sd2_conv", 416), ("sdxl", 986), ("sdxl_conv", 1052)],
)
def test_keys_and_shapes_are_those_of_the_reference(models: dict, name: str, count: int) -> None:
    network = NetworkConfig(network_dim=4, conv_dim=4 if name.endswith("_conv") else None)
    made = adapters.create(network, all_targets(models, name))
    ours = {key: list(tensor.shape) for key, tensor in made.state_dict().items()}
    theirs = {f"{module}.alpha": [] for module in REFERENCE[name]}
    theirs |= {f"{module}.lora_down.weight": down for module, (down, _) in REFERENCE[name].items()}
    theirs |= {f"{module}.lora_up.weight": up for module, (_, up) in REFERENCE[name].items()}
    assert ours == theirs
    assert len(made.modules) == count


def test_projections_of_a_sd2_folder_are_matrices(models: dict[str, LatentDiffusion]) -> None:
    """sd-scripts leaves them as they are there, and diffusers reads nothing else for them."""
    family = copy.copy(models["sd2"])
    family.layout = "diffusers"
    made = adapters.create(NetworkConfig(network_dim=4), family.adapter_targets(conv=False))
    name = "lora_unet_down_blocks_0_attentions_0_proj_in"
    assert made.state_dict()[f"{name}.lora_down.weight"].shape == (4, 320)


BLOCKS = {
    "sd1": {
        "lora_unet_down_blocks_0_attentions_0_": 1,
        "lora_unet_down_blocks_0_resnets_1_": 2,
        "lora_unet_down_blocks_0_downsamplers_0_": 3,
        "lora_unet_down_blocks_2_attentions_1_": 8,
        "lora_unet_down_blocks_2_downsamplers_0_": 9,
        "lora_unet_down_blocks_3_resnets_1_": 11,
        "lora_unet_mid_block_": 12,
        "lora_unet_up_blocks_0_resnets_0_": 13,
        "lora_unet_up_blocks_0_upsamplers_0_": 15,
        "lora_unet_up_blocks_1_attentions_0_": 16,
        "lora_unet_up_blocks_3_attentions_2_": 24,
        "lora_unet_conv_in": 0,
        "lora_unet_conv_out": None,
        "lora_unet_time_embedding_": None,
        "lora_te_": None,
    },
    "sdxl": {
        "lora_unet_time_embed_": 0,
        "lora_unet_label_emb_": 0,
        "lora_unet_input_blocks_0_0": 1,
        "lora_unet_input_blocks_1_0_": 2,
        "lora_unet_input_blocks_3_0_op": 4,
        "lora_unet_input_blocks_8_1_": 9,
        "lora_unet_middle_block_0_": 10,
        "lora_unet_middle_block_1_": 11,
        "lora_unet_middle_block_2_": 12,
        "lora_unet_output_blocks_0_1_": 13,
        "lora_unet_output_blocks_2_2_conv": 15,
        "lora_unet_output_blocks_8_0_": 21,
        "lora_unet_out_2": 22,
        "lora_te1_": None,
        "lora_te2_": None,
    },
}


@pytest.mark.parametrize(("family", "start"), [(family, start) for family, table in BLOCKS.items() for start in table])
def test_block_index(models: dict[str, LatentDiffusion], family: str, start: str) -> None:
    targets = models[family].adapter_targets(conv=True, more=True)
    found = {target.block for target in targets if target.name.startswith(start)}
    assert found == {BLOCKS[family][start]}
    assert max((target.block or 0) for target in targets) < models[family].blocks.total


def test_lycoris_reaches_what_sdxl_is_told_of_sizes(models: dict[str, LatentDiffusion]) -> None:
    targets = {target.name: target for target in models["sdxl"].adapter_targets(conv=True, more=True)}
    assert len(targets) == len(models["sdxl"].adapter_targets(conv=True, more=True)), "each has a name of its own"
    assert {targets[f"lora_unet_label_emb_0_{i}"].role for i in (0, 2)} == {"time"}
    assert targets["lora_unet_input_blocks_4_1_norm"].module.num_channels == 640


def test_a_newer_text_encoder_with_a_text_model_level_gets_the_same_names() -> None:
    with torch.device("meta"):
        plain = CLIPTextModel(CLIPTextConfig(num_hidden_layers=2))
    wrapper = torch.nn.Module()
    wrapper.text_model = plain
    assert [t.name for t in lora.text_targets(wrapper)] == [t.name for t in lora.text_targets(plain)]
