"""Which layers the presets of LyCORIS and sd-scripts' own networks choose."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sd_scripts import adapters
from sd_scripts.config.load import from_flat
from sd_scripts.config.network import NetworkConfig
from sd_scripts.families import load_family
from sd_scripts.families.base import ModelFamily

LYCORIS = {"network_module": "lycoris.kohya"}
OFT = {"network_module": "networks.oft"}
TEXT = 12
ATTENTION, MLP, PROJECTION = 16 * 8, 16 * 2, 16 * 2
"""Layers of the tiny model: 2 text blocks; 16 transformer blocks and 22 residual ones, as in Stable Diffusion 1.x."""
TRANSFORMER = ATTENTION + MLP + PROJECTION


@pytest.fixture(scope="module")
def family(tiny_model: Path) -> ModelFamily:
    config = from_flat({"pretrained_model_name_or_path": str(tiny_model)}).unwrap()
    return load_family(config.model, config.precision)


def names(family: ModelFamily, **settings: Any) -> list[str]:
    network = NetworkConfig(**settings)
    targets = family.adapter_targets(network.trains_convolutions, bool(network.layers))
    assert max(Counter(target.name for target in targets).values()) == 1
    return list(adapters.create(network, targets).modules)


@pytest.mark.parametrize(
    ("settings", "text", "unet"),
    [
        ({}, TEXT, TRANSFORMER),
        ({**LYCORIS, "preset": "attn-mlp"}, TEXT, TRANSFORMER),
        ({**LYCORIS, "preset": "attn-only"}, 2 * 4, ATTENTION),
        ({**LYCORIS, "preset": "unet-transformer-only"}, 0, TRANSFORMER),
        ({**LYCORIS, "preset": "ia3"}, 2 * 3, 16 * 5),
        (OFT, 0, ATTENTION),
        ({**OFT, "enable_all_linear": True}, 0, TRANSFORMER),
    ],
)
def test_how_many_layers_are_chosen(settings: dict[str, Any], text: int, unet: int, family: ModelFamily) -> None:
    found = Counter(name.split("_")[1] for name in names(family, **settings))
    assert (found["te"], found["unet"]) == (text, unet)


def test_full_is_every_layer_once(family: ModelFamily) -> None:
    """The reference stops here with a duplicate name; the time embedding is trained once."""
    full = set(names(family, **LYCORIS))
    assert {"lora_unet_conv_in", "lora_unet_conv_out", "lora_unet_time_embedding_linear_1"} <= full
    assert full >= set(names(family, conv_dim=4))
    assert full - set(names(family, **LYCORIS, preset="unet-only")) == {n for n in full if n.startswith("lora_te")}


def test_full_lin_and_convblock_only_share_what_is_linear_in_residual_blocks(family: ModelFamily) -> None:
    linear = set(names(family, **LYCORIS, preset="full-lin"))
    blocks = set(names(family, **LYCORIS, preset="unet-convblock-only"))
    assert not [name for name in linear if name.endswith(("conv1", "conv2", "_conv"))]
    assert not [name for name in blocks if "attentions" in name or "time_embedding" in name]
    assert all("resnets" in name for name in linear & blocks)
    assert linear & blocks


def test_norms_are_those_inside_the_blocks(family: ModelFamily) -> None:
    norms = set(names(family, **LYCORIS, train_norm=True)) - set(names(family, **LYCORIS))
    assert "lora_unet_mid_block_attentions_0_norm" in norms
    assert "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_norm3" in norms
    assert "lora_unet_down_blocks_0_resnets_0_norm1" in norms
    assert not [name for name in norms if name.startswith("lora_te") or "norm_out" in name]


def test_convolutions_have_the_networks_rank_unless_they_have_their_own(family: ModelFamily) -> None:
    targets = family.adapter_targets(True, True)
    for conv_dim, rank in ((None, 4), (2, 2)):
        network = NetworkConfig(**LYCORIS, conv_dim=conv_dim)
        module = adapters.create(network, targets).modules["lora_unet_conv_in"]
        assert type(module).size_in_file(module.file_tensors()).rank == rank


def test_a_file_chooses_layers_as_the_preset_it_was_written_after(family: ModelFamily, tmp_path: Path) -> None:
    """attn-mlp of LyCORIS, written out, without one layer and with another."""
    file = tmp_path / "own.toml"
    file.write_text(
        'enable_conv = false\nunet_target_module = ["Transformer2DModel", "DoubleStreamBlock"]\n'
        'unet_target_name = ["time_embedding\\\\.linear_1"]\n'
        'text_encoder_target_module = ["CLIPAttention", "CLIPMLP"]\ntext_encoder_target_name = []\n'
        'exclude_name = [".*ff.net.2"]\n',
        encoding="utf-8",
    )
    wanted = {name for name in names(family, **LYCORIS, preset="attn-mlp") if not name.endswith("ff_net_2")}
    assert set(names(family, **LYCORIS, preset=str(file))) == wanted | {"lora_unet_time_embedding_linear_1"}


def test_names_in_a_file_can_have_wildcards(family: ModelFamily, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('use_fnmatch = true\nunet_target_name = ["mid_block.*.attn1.to_q"]\n', encoding="utf-8")
    found = names(family, **LYCORIS, preset=str(file))
    assert found == ["lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"]


OWN_KINDS = """
unet_target_module = ["Transformer2DModel", "ResnetBlock2D", "Upsample2D"]
unet_target_name = ["conv_in", "time_embedding.linear_1", "conv_out"]
enable_conv = false
[module_algo_map]
Transformer2DModel = { algo = "loha", alpha = 2 }
Attention = { algo = "lokr", dim = 100000000, factor = 2 }
FeedForward = { dim = 3 }
Upsample2D = { dim = 5, algo = "full" }
Conv2d = { algo = "glora", dim = 6 }
[name_algo_map]
conv_in = { dim = 2, algo = "lora" }
"time_embedding.linear_1" = { algo = "ia3" }
"""


def test_layers_have_the_kinds_and_ranks_that_lycoris_gives_them(family: ModelFamily, tmp_path: Path) -> None:
    """The same file, given to LyCORIS for the same U-Net."""
    file = tmp_path / "own.toml"
    file.write_text(OWN_KINDS, encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lycoris = pytest.importorskip("lycoris.kohya")
        theirs = lycoris.create_network(1.0, 4, 1, None, None, family.unet, preset=str(file), algo="boft")
    network = NetworkConfig(**LYCORIS, preset=str(file), algo="boft", network_train_unet_only=True)
    ours = adapters.create(network, family.adapter_targets(True, True), parts=["unet"]).modules
    kinds = {"LoConModule": "Locon", "LohaModule": "Loha", "LokrModule": "Lokr", "FullModule": "Full",
             "GLoRAModule": "Glora", "IA3Module": "IA3", "ButterflyOFTModule": "Boft"}  # fmt: skip
    there = {one.lora_name: kinds[type(one).__name__] for one in theirs.unet_loras}
    assert {name: type(module).__name__ for name, module in ours.items()} == there
    for one in theirs.unet_loras:
        if there[one.lora_name] in ("Locon", "Loha", "Glora"):
            assert (ours[one.lora_name].rank, ours[one.lora_name].scale) == (one.lora_dim, one.scale)


def test_a_class_of_samplers_is_that_class_alone(family: ModelFamily, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('unet_target_module = ["Upsample2D"]\n', encoding="utf-8")
    found = names(family, **LYCORIS, preset=str(file))
    assert found
    assert all("_upsamplers_" in name for name in found)
