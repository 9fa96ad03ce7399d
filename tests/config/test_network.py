"""The network's settings: what goes together, and that network_args are read as the settings they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sd_scripts.config.load import from_flat
from sd_scripts.config.network import NetworkConfig, rates
from sd_scripts.config.optimizer import OptimizerConfig
from sd_scripts.config.training import TrainingConfig

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
    ({"block_alphas": [-1] * 25}, "block_alphas: It has a number below 0; give 0 for a block that is left out."),
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
    ("settings", "sentence"),
    [
        (
            {"network_args": ["block_dims=1,2,3"]},
            "block_dims: It has 3 numbers; the model's U-Net has 25 blocks, so give 25.",
        ),
        (
            {"block_dims": [1] * 25, "sdxl": True},
            "block_dims: It has 25 numbers; the model's U-Net has 23 blocks, so give 23.",
        ),
        (
            {"conv_block_dims": [1] * 23, "v2": True},
            "conv_block_dims: It has 23 numbers; the model's U-Net has 25 blocks, so give 25.",
        ),
        ({"block_dims": [1] * 23, "sdxl": True}, None),
        ({"down_lr_weight": "1,1"}, "down_lr_weight: It has 2 numbers; there are 12 blocks, so give 12."),
        (
            {"down_lr_weight": "1," * 12, "sdxl": True},
            "down_lr_weight: It has 12 numbers; there are 9 blocks, so give 9.",
        ),
        ({"mid_lr_weight": "1,1"}, "mid_lr_weight: It has 2 numbers; there is 1 block, so give 1."),
        ({"mid_lr_weight": "1,1,1", "sdxl": True}, None),
        ({"up_lr_weight": "sine+.5", "sdxl": True}, None),
        (
            {"text_encoder_lr": [1e-5, 1e-6]},
            "text_encoder_lr: It has 2 numbers, and the model has one text encoder; the others have no effect.",
        ),
        ({"text_encoder_lr": [1e-5, 1e-6], "sdxl": True}, None),
    ],
)
def test_each_family_has_so_many_blocks_and_text_encoders(settings: dict[str, Any], sentence: str | None) -> None:
    found = from_flat({**settings, "train_data_dir": "x", "resolution": "1024"}).problems
    assert [str(problem) for problem in found if problem.key in settings or "network_args" in settings] == (
        [sentence] if sentence else []
    )


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
    found = rates(NetworkConfig(**network), OptimizerConfig(**optimizer), TrainingConfig())
    assert (found["unet"], found["text_encoder"]) == expected


@pytest.mark.parametrize("stop", [0, "0%", -1])
def test_a_text_encoder_that_is_stopped_at_once_is_not_trained(stop: object) -> None:
    training = TrainingConfig(stop_text_encoder_training=stop)
    assert rates(NetworkConfig(), OptimizerConfig(), training) == {"unet": 1e-4, "text_encoder": 0, "text_encoder_2": 0}
    settings = {"stop_text_encoder_training": stop, "cache_text_encoder_outputs": True}
    assert from_flat(settings).problems == []


LYCORIS = {"network_module": "lycoris.kohya"}


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, "lora"),
        ({"network_module": "networks.lora_fa"}, "lora_fa"),
        ({"network_module": "networks.dylora"}, "dylora"),
        ({"network_module": "networks.oft"}, "oft"),
        ({"network_module": "networks.loha"}, "loha"),
        ({"network_module": "sd_scripts.networks.lokr"}, "lokr"),
        (LYCORIS, "locon"),
        ({**LYCORIS, "algo": "lora"}, "locon"),
        ({**LYCORIS, "algo": "LoHa"}, "loha"),
        ({**LYCORIS, "network_args": ["algo=boft"]}, "boft"),
        ({**LYCORIS, "network_args": ["algo=dylora"]}, "lycoris_dylora"),
        ({"network_module": "networks.something"}, None),
    ],
)
def test_module_and_algorithm_name_the_kind(settings: dict[str, Any], kind: str | None) -> None:
    assert NetworkConfig.model_validate(settings).kind == kind


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("decompose_both=False", "decompose_both", False),
        ("use_cp=True", "use_tucker", True),
        ("weight_decompose=True", "dora_wd", True),
        ("wd_on_out=False", "wd_on_output", False),
        ("dropout=0.2", "network_dropout", 0.2),
        ("factor=-1", "factor", -1),
        ("preset=attn-mlp", "preset", "attn-mlp"),
    ],
)
def test_lycoris_arguments_are_read_as_they_are_meant(word: str, key: str, value: object) -> None:
    """False as a text is false, and older names stand for the present ones."""
    network = NetworkConfig(network_module="lycoris.kohya", network_args=("algo=lokr", word))
    assert not list(network.relations())
    assert getattr(network.resolved(), key) == value


LYCORIS_CASES: list[tuple[dict[str, Any], str]] = [
    (
        {"algo": "loha"},
        "algo: It counts with lycoris.kohya alone, and network_module is networks.lora; change one of them.",
    ),
    (
        {**LYCORIS, "network_args": ["bypass_mode=False"]},
        "network_args: bypass_mode has no effect. "
        "Weights are never overwritten here, so the result is the same with and without it.",
    ),
    (
        {**LYCORIS, "network_args": ["disable_conv_cp=True"]},
        "network_args: disable_conv_cp is the opposite of use_tucker; give that one.",
    ),
    (
        {**LYCORIS, "network_args": ["train_t5xxl=False"]},
        "network_args: train_t5xxl has no effect. It is of models with a T5 text encoder, which none of these is.",
    ),
    (
        {"network_args": ["preset=attn-only"]},
        "network_args: preset has no effect on lora networks; it works for locon, loha, lokr, ia3, lycoris_dylora, "
        "glora, diag-oft, boft, full.",
    ),
    (
        {**LYCORIS, "network_args": ["algo=loha", "factor=4"]},
        "network_args: factor has no effect on loha networks; it works for lokr.",
    ),
    (
        {"network_module": "networks.dylora", "network_dim": 6, "unit": 4},
        "network_dim: It is 6, which is no multiple of DyLoRA's unit 4; change one of them.",
    ),
    (
        {"network_module": "networks.dylora", "network_dim": 8, "conv_dim": 4},
        "conv_dim: DyLoRA has one rank for all layers; set it to 8 as network_dim, or leave it empty.",
    ),
    (
        {"network_module": "networks.oft"},
        "network_module: networks.oft reaches the U-Net alone, so the text encoder is not trained.",
    ),
    ({**LYCORIS, "algo": "ia3"}, "preset: IA3 is meant for a few layers; preset ia3 chooses those of its authors."),
    (
        {**LYCORIS, "preset": "attn-mlp", "conv_dim": 4},
        "conv_dim: It has no effect with the preset attn-mlp, which leaves 3x3 convolutions alone.",
    ),
]


@pytest.mark.parametrize(("settings", "sentence"), LYCORIS_CASES)
def test_what_does_not_go_together_in_other_kinds_is_said(settings: dict[str, Any], sentence: str) -> None:
    assert [str(problem) for problem in NetworkConfig.model_validate(settings).relations()] == [sentence]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "There is no file {0}; name a TOML file of LyCORIS, or one of its presets."),
        ('lora_kind = "a"', "{0} has lora_kind, which no LyCORIS preset knows; there is enable_conv, use_fnmatch, "
         "unet_target_module, unet_target_name, text_encoder_target_module, text_encoder_target_name, exclude_name, "
         "module_algo_map, name_algo_map."),
        ("enable_conv = 1", "{0}: enable_conv is 1; it must be true or false."),
        ('exclude_name = "a"', "{0}: exclude_name is 'a'; it must be a list of texts."),
        ("name_algo_map = 1", "{0}: name_algo_map is 1; it must be tables, each with the settings of some layers."),
        ("unet_target_name = ['*.to_k']", "{0}: '*.to_k' of unet_target_name is no regular expression; write .* for "
         "anything, or set use_fnmatch."),
        ("[name_algo_map.x]\nalgo = 'tlora'", "{0}: x: algo=tlora: input should be 'lora', 'locon', 'loha', 'lokr', "
         "'ia3', 'dylora', 'glora', 'diag-oft', 'boft' or 'full'."),
        ("[module_algo_map.Attention]\ndim = 0", "{0}: Attention: dim=0: input should be greater than or equal to 1."),
        ("[module_algo_map.Attention]\nfactr = 0", "{0}: Attention has 'factr', which no layer can have. "
         "Did you mean factor?"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_presets_file(text: str | None, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    if text:
        file.write_text(text, encoding="utf-8")
    network = NetworkConfig(network_module="lycoris.kohya", preset=str(file))
    assert [str(problem) for problem in network.relations()] == ["preset: " + sentence.format(file)]


def test_a_preset_that_does_not_exist() -> None:
    (problem,) = NetworkConfig(network_module="lycoris.kohya", preset="attn-mpl").relations()
    assert str(problem) == "preset: There is no preset 'attn-mpl', and it is no .toml file. Did you mean attn-mlp?"


def test_what_has_no_effect_has_none() -> None:
    """A network of LoRA trains the same layers with LyCORIS' settings as without them."""
    network = NetworkConfig(network_args=("preset=attn-only", "train_norm=True"), conv_dim=2).resolved()
    assert (network.layers, network.train_norm, network.conv_dim) == (None, False, 2)


def test_settings_of_a_kind_that_some_layers_have_are_settings_of_the_network(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("[module_algo_map.FeedForward]\nalgo = 'LoKr'\n", encoding="utf-8")
    flat = {"network_module": "lycoris.kohya", "preset": str(file), "factor": 8, "constraint": 0.1}
    loaded = from_flat({**flat, "train_data_dir": "x", "resolution": "512"})
    assert [str(problem) for problem in loaded.problems if problem.key in flat] == [
        "constraint: Constraint has no effect on locon networks; it works for diag-oft, boft."
    ]
    own = loaded.unwrap().network.resolved().of_layer("lora_unet_mid_x_ff_net_2", "mlp", "Linear")
    assert (own.kind, own.factor, own.constraint) == ("lokr", 8, 0)


@pytest.mark.parametrize(
    ("flat", "sentence"),
    [
        ({"algo": "ia3", "preset": "ia3"}, "learning_rate: It is 0.0001; ia3 networks learn with 0.005 to 1 what LoRA "
         "learns with 0.0001."),
        ({"algo": "full", "unet_lr": 1e-3}, "unet_lr: It is 0.001; full networks learn with 1e-07 to 0.0001 what LoRA "
         "learns with 0.0001."),
        ({"algo": "ia3", "preset": "ia3", "learning_rate": 0.1}, None),
        ({"algo": "ia3", "preset": "ia3", "optimizer_type": "Prodigy", "learning_rate": 1}, None),
        ({"algo": "ia3", "preset": "ia3", "optimizer_type": "Lion"}, None),
        ({"algo": "loha"}, None),
    ],
)  # fmt: skip
def test_a_rate_that_a_kind_hardly_learns_with_is_said(flat: dict[str, Any], sentence: str | None) -> None:
    given = {"learning_rate": 1e-4, "train_data_dir": "x", "resolution": "512", **LYCORIS, **flat}
    found = [str(problem) for problem in from_flat(given).problems if problem.key in ("learning_rate", "unet_lr")]
    assert found == ([sentence] if sentence else [])
