"""The layers that a LoRA reaches, their names in files, their shapes and blocks, against sd-scripts' list."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from sd_scripts import adapters
from sd_scripts.config.network import NetworkConfig
from sd_scripts.families.names import lora

REFERENCE = json.loads(gzip.decompress((Path(__file__).parent / "lora_shapes.json.gz").read_bytes()))
"""Model -> module -> [shape of lora_down, shape of lora_up] at rank 4."""


@pytest.fixture(scope="module")
def models() -> dict:
    """Full-size models without memory."""
    with torch.device("meta"):
        return {
            "sd1": (
                UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8),
                CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072)),
            ),
            "sd2": (
                UNet2DConditionModel(
                    cross_attention_dim=1024, attention_head_dim=[5, 10, 20, 20], use_linear_projection=True
                ),
                CLIPTextModel(
                    CLIPTextConfig(
                        hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16
                    )
                ),
            ),
        }


def all_targets(models: dict, name: str) -> list:
    unet, text_encoder = models[name.removesuffix("_conv")]
    return [*lora.text_targets(text_encoder), *lora.unet_targets(unet, name.endswith("_conv"))]


@pytest.mark.parametrize(("name", "count"), [("sd1", 264), ("sd1_conv", 350), ("sd2", 330), ("sd2_conv", 416)])
def test_keys_and_shapes_are_those_of_the_reference(models: dict, name: str, count: int) -> None:
    network = NetworkConfig(network_dim=4, conv_dim=4 if name.endswith("_conv") else None)
    made = adapters.create(network, all_targets(models, name))
    ours = {key: list(tensor.shape) for key, tensor in made.state_dict().items()}
    theirs = {f"{module}.alpha": [] for module in REFERENCE[name]}
    theirs |= {f"{module}.lora_down.weight": down for module, (down, _) in REFERENCE[name].items()}
    theirs |= {f"{module}.lora_up.weight": up for module, (_, up) in REFERENCE[name].items()}
    assert ours == theirs
    assert len(made.modules) == count


@pytest.mark.parametrize(
    ("start", "block"),
    [
        ("lora_unet_down_blocks_0_attentions_0_", 1),
        ("lora_unet_down_blocks_0_resnets_1_", 2),
        ("lora_unet_down_blocks_0_downsamplers_0_", 3),
        ("lora_unet_down_blocks_2_attentions_1_", 8),
        ("lora_unet_down_blocks_2_downsamplers_0_", 9),
        ("lora_unet_down_blocks_3_resnets_1_", 11),
        ("lora_unet_mid_block_", 12),
        ("lora_unet_up_blocks_0_resnets_0_", 13),
        ("lora_unet_up_blocks_0_upsamplers_0_", 15),
        ("lora_unet_up_blocks_1_attentions_0_", 16),
        ("lora_unet_up_blocks_3_attentions_2_", 24),
        ("lora_te_", None),
    ],
)
def test_block_index(models: dict, start: str, block: int | None) -> None:
    found = {target.block for target in all_targets(models, "sd1_conv") if target.name.startswith(start)}
    assert found == {block}


def test_a_newer_text_encoder_with_a_text_model_level_gets_the_same_names() -> None:
    with torch.device("meta"):
        plain = CLIPTextModel(CLIPTextConfig(num_hidden_layers=2))
    wrapper = torch.nn.Module()
    wrapper.text_model = plain
    assert [t.name for t in lora.text_targets(wrapper)] == [t.name for t in lora.text_targets(plain)]
