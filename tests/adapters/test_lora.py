"""LoRA: what it adds, what dropping does to it, and what its optimizer groups are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sd_scripts import adapters
from sd_scripts.adapters.adapter_set import AdapterSet
from sd_scripts.config.network import NetworkConfig
from sd_scripts.errors import UserError
from sd_scripts.families.base import Target

Make = Callable[..., AdapterSet]


def test_a_fresh_lora_changes_nothing(layers: nn.Module, inputs: tuple, targets: list[Target]) -> None:
    before = layers(*inputs)
    fresh = adapters.create(NetworkConfig(conv_dim=2), targets)
    fresh.attach()
    assert all(torch.equal(a, b) for a, b in zip(layers(*inputs), before, strict=True))


def test_attached_it_adds_the_formula(layers: nn.Module, inputs: tuple, made: Make) -> None:
    """W x + alpha / r B A x, alpha 2, r 4 (1 and 2 for the 3x3 convolution)."""
    before = layers(*inputs)
    changed = made()
    changed.attach()
    tensors = changed.state_dict()
    linear, point, spatial = (
        [tensors[f"{name}.{half}.weight"] for half in ("lora_down", "lora_up")]
        for name in ("lora_te_linear", "lora_unet_point", "lora_unet_spatial")
    )
    expected = [
        before[0] + 2 / 4 * inputs[0] @ linear[0].T @ linear[1].T,
        before[1] + 2 / 4 * F.conv2d(F.conv2d(inputs[1], point[0]), point[1]),
        before[2] + 1 / 2 * F.conv2d(F.conv2d(inputs[1], spatial[0], stride=2, padding=1), spatial[1]),
    ]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(layers(*inputs), expected, strict=True))


def test_merged_is_attached(layers: nn.Module, inputs: tuple, targets: list[Target], made: Make) -> None:
    changed = made()
    changed.attach()
    attached = layers(*inputs)
    changed.detach()
    assert adapters.merge(changed.state_dict(), targets, 1.0) == []
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(layers(*inputs), attached, strict=True))


def test_merging_with_a_multiplier_scales_the_change_once(layers: nn.Module, targets: list[Target], made: Make) -> None:
    """Half the strength is half the change, not a quarter of it."""
    before = layers.linear.weight.clone()
    tensors = made().state_dict()
    adapters.merge(tensors, targets, 1.0)
    whole = layers.linear.weight - before
    adapters.merge(tensors, targets, -1.0)
    adapters.merge(tensors, targets, 0.5)
    assert torch.allclose(layers.linear.weight - before, whole / 2, atol=1e-5)


def test_merging_tells_what_the_model_does_not_have(targets: list[Target], made: Make) -> None:
    tensors = made().state_dict()
    assert adapters.merge(tensors, targets[:2], 1.0) == ["lora_unet_spatial"]


def test_a_module_of_an_unknown_kind_is_named(targets: list[Target]) -> None:
    with pytest.raises(
        UserError, match="lora_x has the tensors strange, which are of no kind of network that can be read here."
    ):
        adapters.merge({"lora_x.strange": torch.zeros(1)}, targets, 1.0)


def test_detached_it_leaves_nothing_behind(layers: nn.Module, inputs: tuple, made: Make) -> None:
    before, keys = layers(*inputs), list(layers.state_dict())
    changed = made()
    changed.attach()
    changed.attach()
    changed.detach()
    assert list(layers.state_dict()) == keys
    assert all(torch.equal(a, b) for a, b in zip(layers(*inputs), before, strict=True))


def test_the_first_values_depend_on_seed_and_name_alone(targets: list[Target]) -> None:
    one = adapters.create(NetworkConfig(conv_dim=2), targets, seed=1).state_dict()
    again = adapters.create(NetworkConfig(), targets[::-1], seed=1).state_dict()
    other = adapters.create(NetworkConfig(), targets, seed=2).state_dict()
    key = "lora_unet_point.lora_down.weight"
    assert torch.equal(one[key], again[key])
    assert not torch.equal(one[key], other[key])
    bound = 3**-0.5  # kaiming_uniform with a = sqrt 5: 1 / sqrt(inputs)
    assert one[key].abs().max() <= bound


DROPPING = [{"network_dropout": 0.5}, {"rank_dropout": 0.5}, {"module_dropout": 0.5}]


@pytest.mark.parametrize("settings", DROPPING)
def test_dropping_depends_on_the_random_state_and_ends_with_training(
    layers: nn.Module, inputs: tuple, made: Make, settings: dict[str, Any]
) -> None:
    changed = made(**settings)
    changed.attach()

    def outputs(seed: int) -> list[torch.Tensor]:
        torch.manual_seed(seed)
        return layers(*inputs)

    assert all(torch.equal(a, b) for a, b in zip(outputs(1), outputs(1), strict=True))
    assert any(not torch.equal(a, b) for seed in range(5) for a, b in zip(outputs(1), outputs(10 + seed), strict=True))
    changed.train(False)
    changed.detach()
    plain = made()
    plain.attach()
    expected = outputs(0)
    plain.detach()
    changed.attach()
    assert all(torch.equal(a, b) for a, b in zip(outputs(1), expected, strict=True))


def test_rank_dropout_drops_units_of_a_whole_sample(layers: nn.Module, targets: list[Target]) -> None:
    """With A's rows and B's columns set so that unit k shows as the value 2^k of every place of the sample."""
    found = adapters.create(NetworkConfig(network_dim=4, network_alpha=4, rank_dropout=0.5), targets[:1])
    lora = found.modules["lora_te_linear"]
    nn.init.ones_(lora.lora_down.weight)
    lora.lora_up.weight.data[:] = torch.tensor([1.0, 2.0, 4.0, 8.0])
    torch.manual_seed(3)
    change = lora.change(torch.full((50, 7, 6), 1 / 6)) * 0.5  # what stays is scaled by 1 / (1 - 0.5)
    assert torch.allclose(change, change[:, :1, :1].expand_as(change))
    seen = set(change[:, 0, 0].round().int().tolist())
    assert seen <= set(range(16))
    assert len(seen) > 8


def test_module_dropout_adds_nothing(layers: nn.Module, inputs: tuple, made: Make) -> None:
    before = layers(*inputs)
    changed = made(module_dropout=0.5)
    changed.attach()
    outputs = []
    for seed in range(40):
        torch.manual_seed(seed)
        outputs.append(layers(*inputs)[0])
    unchanged = sum(torch.equal(output, before[0]) for output in outputs)
    assert 10 < unchanged < 30


def test_scale_weight_norms(made: Make) -> None:
    """n = max(|delta|, m/2), ratio = min(n, m)/n, and both matrices shrink by its root."""
    changed = made()
    before = {name: module.delta_in_file(module.file_tensors()).norm() for name, module in changed.modules.items()}
    limit = float(sorted(before.values())[1]) * 0.99
    figures = changed.limit_norms(limit)
    after = {name: module.delta_in_file(module.file_tensors()).norm() for name, module in changed.modules.items()}
    for name, norm in before.items():
        assert after[name] == pytest.approx(min(float(norm), limit), rel=1e-4)
    assert int(figures["keys_scaled"]) == 2
    assert float(figures["max_key_norm"]) == pytest.approx(limit, rel=1e-4)
    assert float(figures["average_key_norm"]) == pytest.approx(float(sum(after.values())) / 3, rel=1e-4)


def test_groups_are_the_parts(made: Make) -> None:
    groups = made().parameter_groups({"unet": 1e-3, "text_encoder": 1e-4})
    assert [(g["name"], len(g["params"]), g["lr"]) for g in groups] == [("text_encoder", 2, 1e-4), ("unet", 4, 1e-3)]


def test_lora_plus_trains_the_upper_matrices_faster(made: Make) -> None:
    found = made(loraplus_lr_ratio=4, loraplus_text_encoder_lr_ratio=16)
    groups = {
        g["name"]: (g["lr"], [tuple(p.shape) for p in g["params"]])
        for g in found.parameter_groups({"unet": 1e-3, "text_encoder": 1e-4})
    }
    assert groups["unet_plus"] == (pytest.approx(4e-3), [(5, 4, 1, 1), (5, 2, 1, 1)])
    assert groups["text_encoder_plus"] == (pytest.approx(1.6e-3), [(8, 4)])
    assert groups["unet"][0], groups["text_encoder"][0] == (1e-3, 1e-4)


def test_block_rates_make_a_group_each(made: Make) -> None:
    found = made(down_lr_weight="1,.5,1,1,1,1,1,1,1,1,1,1", mid_lr_weight="0.25")
    groups = {g["name"]: g["lr"] for g in found.parameter_groups({"unet": 1e-3, "text_encoder": 1e-4})}
    assert groups == {"text_encoder": 1e-4, "unet_block_01": 5e-4, "unet_block_12": 2.5e-4}


def test_a_part_that_is_not_trained_gets_no_modules(targets: list[Target]) -> None:
    found = adapters.create(NetworkConfig(conv_dim=1), targets, parts={"unet"})
    assert found.train_parts == {"unet"}
    assert set(found.modules) == {"lora_unet_point", "lora_unet_spatial"}


def test_ranks_can_be_taken_from_a_file(targets: list[Target], made: Make) -> None:
    tensors = made(network_dim=3, network_alpha=1.5).state_dict()
    del (
        tensors["lora_te_linear.lora_down.weight"],
        tensors["lora_te_linear.lora_up.weight"],
        tensors["lora_te_linear.alpha"],
    )
    found = adapters.create(NetworkConfig(network_dim=8), targets, weights=tensors)
    assert {key: value.shape for key, value in found.state_dict().items()} == {
        key: value.shape for key, value in tensors.items()
    }
    assert found.modules["lora_unet_point"].scale == 0.5


def test_loading_weights_of_other_ranks_says_so(made: Make) -> None:
    with pytest.raises(UserError) as caught:
        made(network_dim=8).load_state_dict(made().state_dict(), "old.safetensors")
    assert str(caught.value) == (
        "old.safetensors does not fit: lora_te_linear has lora_down.weight of shape (4, 6) where (8, 6) is wanted; "
        "set the same ranks, or turn dim_from_weights on."
    )


def test_loading_weights_of_another_model_says_so(made: Make) -> None:
    with pytest.raises(UserError, match="has no module that is trained here"):
        made().load_state_dict({"lora_transformer_x.alpha": torch.tensor(1.0)}, "flux.safetensors")


def test_a_file_without_alpha_means_the_rank(made: Make) -> None:
    tensors = {key: value for key, value in made().state_dict().items() if not key.endswith("alpha")}
    found = made()
    found.load_state_dict(tensors)
    assert found.modules["lora_te_linear"].scale == 1.0


def test_a_linear_layer_that_files_hold_as_a_convolution(inputs: tuple) -> None:
    """SD 2's projections: 4-D in the file, whatever the module is."""
    linear = nn.Linear(6, 6)
    targets = [Target("lora_unet_proj_in", linear, "unet", 1, stored_as_convolution=True)]
    found = adapters.create(NetworkConfig(network_dim=2), targets)
    tensors = found.state_dict()
    assert tensors["lora_unet_proj_in.lora_down.weight"].shape == (2, 6, 1, 1)
    assert tensors["lora_unet_proj_in.lora_up.weight"].shape == (6, 2, 1, 1)
    tensors["lora_unet_proj_in.lora_up.weight"] = torch.randn(6, 2, 1, 1)
    found.load_state_dict(tensors)
    found.attach()
    attached = linear(inputs[0])
    found.detach()
    adapters.merge(tensors, targets, 1.0)
    assert torch.allclose(linear(inputs[0]), attached, atol=1e-5)
    flat = {key: value.flatten(1) if value.ndim else value for key, value in tensors.items()}
    found.load_state_dict(flat)
    assert torch.equal(
        found.state_dict()["lora_unet_proj_in.lora_up.weight"], tensors["lora_unet_proj_in.lora_up.weight"]
    )


def test_half_precision_bases_keep_their_dtype(
    targets: list[Target], layers: nn.Module, inputs: tuple, made: Make
) -> None:
    changed = made()
    changed.attach()
    layers.to(torch.bfloat16)
    assert {output.dtype for output in layers(*(x.bfloat16() for x in inputs))} == {torch.bfloat16}
    with torch.autocast("cpu", torch.bfloat16):
        assert {output.dtype for output in layers(*inputs)} == {torch.bfloat16}
    assert {parameter.dtype for parameter in changed.modules.parameters()} == {torch.float32}
