"""Every kind of network: trained, saved, loaded, resumed, merged, and with settings for each block."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from network_cases import CASES
from torch import Tensor

from sd_scripts import adapters
from sd_scripts.adapters import io
from sd_scripts.config.load import from_flat
from sd_scripts.families import load_family
from sd_scripts.families.base import ModelFamily
from sd_scripts.methods.adapter import AdapterMethod
from sd_scripts.training.progress import Progress

STEPS = 3
PARTS = {
    "unet": {"network_train_unet_only": True},
    "unet and text encoder": {},
    "unet and text encoders of sdxl": {"sdxl": True},
}
UNTRAINED = ["an apple", "nothing"]
Make = Callable[..., AdapterMethod]


@pytest.fixture(scope="module")
def families(tiny_model: Path, tiny_sdxl: Path) -> dict[str, ModelFamily]:
    configs = {
        "sd1": from_flat({"pretrained_model_name_or_path": str(tiny_model)}).unwrap(),
        "sdxl": from_flat({"pretrained_model_name_or_path": str(tiny_sdxl), "sdxl": True}).unwrap(),
    }
    return {name: load_family(config.model, config.precision) for name, config in configs.items()}


@pytest.fixture(scope="module")
def short_families(families: dict[str, ModelFamily]) -> dict[str, ModelFamily]:
    """With every kind of layer, and a quarter as many of each."""
    return {name: with_unet(family, short(family.unet)) for name, family in families.items()}


def short(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    shape = {
        "block_out_channels": (8, 8), "layers_per_block": 1, "transformer_layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "attention_head_dim": 2,
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return UNet2DConditionModel.from_config({**unet.config, **shape}).requires_grad_(False)


def with_unet(family: ModelFamily, unet: UNet2DConditionModel) -> ModelFamily:
    made = copy.copy(family)
    made.unet = unet
    return made


def fresh(family: ModelFamily) -> ModelFamily:
    """With networks of its own, which is quicker than reading the model again."""
    made = with_unet(family, copy.deepcopy(family.unet))
    made.text_encoders = copy.deepcopy(family.text_encoders)
    return made


def maker(loaded: dict[str, ModelFamily], output: Path) -> Make:
    def make(seed: int = 0, **flat: Any) -> AdapterMethod:
        given = {"network_dim": 4, "network_alpha": 2, "pretrained_model_name_or_path": "x"}
        config = from_flat({**given, "output_dir": str(output), **flat}).unwrap()
        return AdapterMethod(config, fresh(loaded[config.family]), seed)

    return make


@pytest.fixture
def method(short_families: dict[str, ModelFamily], tmp_path: Path) -> Make:
    return maker(short_families, tmp_path)


@pytest.fixture
def method_of_25_blocks(families: dict[str, ModelFamily], tmp_path: Path) -> Make:
    return maker(families, tmp_path)


def predicted(family: ModelFamily) -> Tensor:
    noisy_BCHW = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(6))
    return family.predict(noisy_BCHW, torch.tensor([3, 900]), family.condition(UNTRAINED))


def seen(method: AdapterMethod) -> Tensor:
    method.eval_mode()
    with torch.no_grad():
        return predicted(method.family)


class Trained:
    """A training of a few steps, with an optimizer that remembers."""

    def __init__(self, method: AdapterMethod) -> None:
        self.method = method
        self.optimizer = torch.optim.AdamW(method.trainable_groups(), lr=0.02)
        for group in self.optimizer.param_groups:
            group["lr"] = 0.02

    def run(self, first: int, last: int) -> None:
        self.method.train_mode()
        for step in range(first, last):
            torch.manual_seed(step)
            self.optimizer.zero_grad()
            (predicted(self.method.family) - 1).square().mean().backward()
            self.optimizer.step()


def loaded(method: AdapterMethod, tensors: dict[str, Tensor]) -> None:
    assert method.adapters.load_state_dict(tensors) == []


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("case", CASES)
def test_a_kind_is_trained_saved_loaded_resumed_and_merged(case: str, parts: str, method: Make, tmp_path: Path) -> None:
    settings = {**CASES[case], **PARTS[parts]}
    trained = Trained(method(**settings))
    attached = seen(trained.method)
    trained.method.adapters.detach()
    before = seen(trained.method)
    trained.method.adapters.attach()
    assert torch.allclose(attached, before, atol=1e-5), "a fresh network changes nothing"

    trained.run(0, 2)
    state = {key: value.clone() for key, value in trained.method.state_dict().items()}
    memory = copy.deepcopy(trained.optimizer.state_dict())
    resumed = Trained(method(seed=1, **settings))
    resumed.method.load_state_dict(state)
    resumed.optimizer.load_state_dict(memory)
    for training in (trained, resumed):
        training.run(2, STEPS)
    after = seen(trained.method)
    assert (after - before).abs().max() > 1e-4, "it learned something"
    finals = [training.method.state_dict() for training in (trained, resumed)]
    assert all(torch.equal(value, finals[1][key]) for key, value in finals[0].items()), "resuming is exact"

    trained.method.save(tmp_path / "network.safetensors", Progress(step=STEPS))
    tensors, _ = io.load(tmp_path / "network.safetensors")
    again = method(seed=2, **settings)
    loaded(again, tensors)
    assert torch.allclose(seen(again), after, atol=1e-5), "the file holds all of it"

    again.adapters.detach()
    assert adapters.merge(tensors, again.family.adapter_targets(True, more=True), 1.0) == []
    assert torch.allclose(seen(again), after, atol=1e-4), "merged is attached"


@pytest.mark.parametrize("case", CASES)
def test_a_file_alone_says_how_its_network_was_made(case: str, method: Make, tmp_path: Path) -> None:
    """dim_from_weights: ranks, forms and directions come from the tensors."""
    trained = Trained(method(**CASES[case]))
    trained.run(0, 1)
    file = tmp_path / "network.safetensors"
    trained.method.save(file, Progress(step=1))
    chosen = {key: value for key, value in CASES[case].items() if key in ("network_module", "algo")}
    if case == "layers of their own kinds":
        chosen["preset"] = CASES[case]["preset"]
    norms = {"train_norm": True} if chosen.get("network_module", "").startswith("lycoris") else {}
    again = method(network_dim=8, network_weights=str(file), dim_from_weights=True, **chosen, **norms)
    assert torch.allclose(seen(again), seen(trained.method), atol=1e-5)


UNRANKED = ("ia3", "full", "lokr, whole", "diag-oft", "boft", "oft", "lokr", "layers of their own kinds")
RANKED = [case for case in CASES if case not in UNRANKED]


@pytest.mark.parametrize("case", CASES)
def test_a_block_of_rate_0_gets_no_modules(case: str, method_of_25_blocks: Make) -> None:
    weights = ["1"] * 12
    weights[1] = "0"  # block 1: the first attention network
    names = method_of_25_blocks(**CASES[case], down_lr_weight=",".join(weights)).adapters.modules
    assert names, "the others are there"
    assert not [name for name in names if name.startswith("lora_unet_down_blocks_0_attentions_0")]
    assert [name for name in names if name.startswith("lora_unet_down_blocks_0_attentions_1")]


@pytest.mark.parametrize("case", RANKED)
def test_each_blocks_rank_is_in_the_file(case: str, method_of_25_blocks: Make) -> None:
    ranks = [4] * 25
    ranks[1], ranks[2] = 2, 0
    settings = {**CASES[case], "block_dims": ranks, **({"unit": 2} if "dylora" in case else {})}
    made = method_of_25_blocks(**settings).adapters
    sizes = {name: type(module).size_in_file(module.file_tensors()) for name, module in made.modules.items()}
    first = "lora_unet_down_blocks_0_attentions_{}_transformer_blocks_0_attn1_to_k"
    assert sizes[first.format(0)].rank == 2
    assert first.format(1) not in sizes
    assert sizes["lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_k"].rank == 4


@pytest.mark.parametrize("case", CASES)
def test_dropouts_and_limits_work_alike(case: str, method: Make) -> None:
    dropping = {"network_dropout": 0.3, "rank_dropout": 0.3, "module_dropout": 0.2, "scale_weight_norms": 0.05}
    trained = Trained(method(**CASES[case], **dropping))
    trained.run(0, 2)
    figures = trained.method.after_step()
    assert figures["max_key_norm"] <= 0.0501
    assert torch.isfinite(seen(trained.method)).all()
