"""The network's settings: what goes together, and that network_args are read as the settings they name."""

from __future__ import annotations

from typing import Any

import pytest

from sd_scripts.config.load import from_flat
from sd_scripts.config.network import NetworkConfig, rates
from sd_scripts.config.optimizer import OptimizerConfig

CASES: list[tuple[dict[str, Any], str]] = [
    (
        {"network_module": "networks.lore"},
        "network_module: There is no network type 'networks.lore'; there is: "
        "networks.lora, networks.lora_fa, networks.dylora, networks.oft, networks.loha, networks.lokr, lycoris.kohya.",
    ),
    ({"network_args": ["conv_dm=8"]}, "network_args: This network has no setting 'conv_dm'. Did you mean conv_dim?"),
    ({"network_args": ["conv_dim"]}, "network_args: 'conv_dim' is not of the form key=value."),
    (
        {"network_args": ["conv_dim=x"]},
        "network_args: conv_dim=x: input should be a valid integer, unable to parse string as an integer.",
    ),
    ({"network_args": ["rank_dropout=1.5"]}, "network_args: rank_dropout=1.5: input should be less than 1."),
    ({"network_args": ["conv_dim=4", "conv_dim=8"]}, "network_args: It has conv_dim twice; keep one of them."),
    (
        {"conv_dim": 4, "network_args": ["conv_dim=8"]},
        "conv_dim: It is 4 here and 8 in network_args; keep one of them.",
    ),
    (
        {"network_args": ["block_dims=1,2,3"]},
        "block_dims: It has 3 numbers; a Stable Diffusion U-Net has 25 blocks, so give 25.",
    ),
    ({"block_alphas": [-1] * 25}, "block_alphas: It has a number below 0; give 0 for a block that is left out."),
    ({"down_lr_weight": "1,1"}, "down_lr_weight: It has 2 numbers; there are 12 blocks, so give 12."),
    ({"mid_lr_weight": "1,1"}, "mid_lr_weight: It has 2 numbers; there is 1 block, so give 1."),
    (
        {"up_lr_weight": "sinus"},
        "up_lr_weight: 'sinus' is neither numbers nor one of sine, cosine, linear, reverse_linear, zeros (with a number added, as in cosine+.25).",
    ),
    (
        {"dim_from_weights": True},
        "dim_from_weights: It takes the ranks from network_weights, which is empty; name a file there or turn it off.",
    ),
    (
        {"base_weights": ["a", "b"], "base_weights_multiplier": [1]},
        "base_weights_multiplier: It has 1 numbers for 2 base_weights; give one for each, or none.",
    ),
    (
        {"network_train_unet_only": True, "network_train_text_encoder_only": True},
        "network_train_unet_only: It and network_train_text_encoder_only are both on, so nothing would be trained; turn one off.",
    ),
    ({"conv_alpha": 4}, "conv_alpha: It has no effect without conv_dim or conv_block_dims."),
]


@pytest.mark.parametrize(("settings", "sentence"), CASES)
def test_what_does_not_go_together_is_said(settings: dict[str, Any], sentence: str) -> None:
    assert [str(problem) for problem in NetworkConfig.model_validate(settings).relations()] == [sentence]


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("conv_dim=8", "conv_dim", 8),
        ("conv_alpha=0.5", "conv_alpha", 0.5),
        ("rank_dropout=.1", "rank_dropout", 0.1),
        ("loraplus_lr_ratio=16", "loraplus_lr_ratio", 16.0),
        ("down_lr_weight=cosine+.25", "down_lr_weight", "cosine+.25"),
        ("block_dims=" + ",".join(["2"] * 25), "block_dims", (2,) * 25),
    ],
)
def test_network_args_are_the_settings_they_name(word: str, key: str, value: object) -> None:
    network = NetworkConfig(network_args=(word,))
    assert not list(network.relations()) or key == "conv_alpha"
    assert getattr(network.resolved(), key) == value
    assert network.resolved().network_args == ()


def test_the_older_name_of_the_module_is_the_same() -> None:
    assert NetworkConfig(network_module="sd_scripts.networks.lora").kind == "lora"


def test_block_rates_may_be_given_as_numbers_of_toml() -> None:
    loaded = from_flat({"mid_lr_weight": 0.5, "down_lr_weight": [1] * 12})
    assert loaded.config is not None
    assert loaded.config.network.mid_lr_weight == "0.5"


@pytest.mark.parametrize(
    ("network", "optimizer", "expected"),
    [
        ({}, {"learning_rate": 1e-4}, (1e-4, 1e-4)),
        ({}, {"learning_rate": 1e-4, "unet_lr": 2e-4, "text_encoder_lr": (5e-5,)}, (2e-4, 5e-5)),
        ({}, {"learning_rate": 1e-4, "unet_lr": 0.0}, (0, 1e-4)),
        ({}, {"learning_rate": 1e-4, "text_encoder_lr": (0.0,)}, (1e-4, 0)),
        ({"network_train_unet_only": True}, {"learning_rate": 1e-4}, (1e-4, 0)),
        ({"network_train_text_encoder_only": True}, {"learning_rate": 1e-4}, (0, 1e-4)),
    ],
)
def test_rates_of_the_parts(network: dict, optimizer: dict, expected: tuple[float, float]) -> None:
    """0 means not trained and is never replaced by learning_rate."""
    found = rates(NetworkConfig(**network), OptimizerConfig(**optimizer))
    assert (found["unet"], found["text_encoder"]) == expected
