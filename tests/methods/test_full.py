"""The model itself as what is trained: which weights, in which precision, at which rates, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sd_scripts.config.load import from_flat
from sd_scripts.families.names import sdxl
from sd_scripts.methods import create
from sd_scripts.methods.averages import Averages
from sd_scripts.methods.full import FullMethod

Make = Callable[..., FullMethod]


@pytest.fixture
def method(fresh: Any, tiny_model: Path, tiny_sdxl: Path, tmp_path: Path) -> Make:
    def make(**flat: Any) -> FullMethod:
        model = tiny_sdxl if flat.get("sdxl") else tiny_model
        settings = {"pretrained_model_name_or_path": str(model), "output_dir": str(tmp_path), "method": "dreambooth"}
        config = from_flat({**settings, **flat}).unwrap()
        made = create(config, fresh(config))
        assert isinstance(made, FullMethod)
        return made

    return make


def dtypes(network: torch.nn.Module) -> set[torch.dtype]:
    return {parameter.dtype for parameter in network.parameters()}


def rates(made: FullMethod) -> dict[str, float]:
    return {group["name"]: group["lr"] for group in made.trainable_groups()}


RATES: list[tuple[dict[str, Any], dict[str, float]]] = [
    ({"learning_rate": 2e-6}, {"unet": 2e-6, "text_encoder": 2e-6}),
    ({"learning_rate": 2e-6, "text_encoder_lr": 1e-6}, {"unet": 2e-6, "text_encoder": 1e-6}),
    ({"learning_rate": 2e-6, "unet_lr": 3e-6}, {"unet": 3e-6, "text_encoder": 2e-6}),
    ({"learning_rate": 2e-6, "learning_rate_te": 5e-7}, {"unet": 2e-6, "text_encoder": 5e-7}),
    ({"unet_lr": 0, "text_encoder_lr": 1e-6}, {"text_encoder": 1e-6}),
    ({"method": "finetune", "learning_rate": 2e-6}, {"unet": 2e-6}),
    ({"sdxl": True, "learning_rate": 2e-6}, {"unet": 2e-6, "text_encoder": 2e-6, "text_encoder_2": 2e-6}),
    ({"sdxl": True, "learning_rate": 2e-6, "text_encoder_lr": 1e-6}, {"unet": 2e-6, "text_encoder": 1e-6, "text_encoder_2": 1e-6}),
    ({"sdxl": True, "learning_rate": 2e-6, "text_encoder_lr": [0, 1e-6]}, {"unet": 2e-6, "text_encoder_2": 1e-6}),
    ({"sdxl": True, "learning_rate": 2e-6, "learning_rate_te1": 1e-6}, {"unet": 2e-6, "text_encoder": 1e-6, "text_encoder_2": 2e-6}),
    ({"sdxl": True, "learning_rate_te1": 1e-6, "learning_rate_te2": 0, "unet_lr": 2e-6}, {"unet": 2e-6, "text_encoder": 1e-6}),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "expected"), RATES, ids=lambda value: " ".join(map(str, value.items())))
def test_every_part_has_its_rate(method: Make, settings: dict[str, Any], expected: dict[str, float]) -> None:
    assert rates(method(**settings)) == expected


def test_trained_weights_are_in_32_bits_and_frozen_ones_in_16(method: Make) -> None:
    made = method(method="finetune", mixed_precision="bf16")
    family = made.family
    assert dtypes(family.unet) == {torch.float32}
    assert dtypes(family.vae) == dtypes(family.text_encoders[0]) == {torch.bfloat16}
    assert dtypes(method(method="finetune", mixed_precision="bf16", no_half_vae=True).family.vae) == {torch.float32}
    halved = method(mixed_precision="bf16", full_bf16=True).family
    assert dtypes(halved.unet) == dtypes(halved.text_encoders[0]) == {torch.bfloat16}


def test_nothing_but_what_is_trained_has_gradients(method: Make) -> None:
    made = method(sdxl=True, text_encoder_lr=[0, 1e-6])
    made.train_mode()
    condition = made.family.condition(["a ball", "a tree"])
    made.family.predict(torch.randn(2, 4, 8, 8), torch.tensor([5, 900]), condition).square().mean().backward()
    assert all(parameter.grad is not None for parameter in made.parameters())
    frozen = [made.family.text_encoders[0], made.family.vae]
    assert all(parameter.grad is None for network in frozen for parameter in network.parameters())


@pytest.mark.parametrize(
    ("settings", "unused"),
    [({}, ()), ({"clip_skip": 2}, ("encoder.layers.1.",)), ({"sdxl": True}, ("encoder.layers.2.", "final_layer_norm"))],
    ids=["all", "clip_skip", "sdxl"],
)
def test_layers_that_captions_do_not_pass_are_left_alone(
    method: Make, settings: dict[str, Any], unused: tuple[str, ...]
) -> None:
    """They have no gradient, and weight decay must not eat them. Of SDXL's second encoder the projection needs all."""
    made = method(**settings)
    left = [n for n, p in made.family.text_encoders[0].named_parameters() if not p.requires_grad]
    assert bool(left) == bool(unused) and all(any(part in name for part in unused) for name in left)
    for text_encoder in made.family.text_encoders[1:]:
        assert all(parameter.requires_grad for parameter in text_encoder.parameters())


def test_each_block_of_sdxl_has_its_rate(method: Make) -> None:
    """And 0 leaves it as it is."""
    values = [0.0 if block in (3, 22) else (block + 1) * 1e-7 for block in range(23)]
    made = method(sdxl=True, method="finetune", block_lr=values)
    assert rates(made) == {f"unet_block_{block}": rate for block, rate in enumerate(values) if rate}
    unet = made.family.unet
    for name, parameter in unet.named_parameters():
        assert parameter.requires_grad == (sdxl.ORIGINAL.block(name, unet.config) not in (3, 22))
    counted = sum(len(group["params"]) for group in made.trainable_groups())
    assert counted == sum(parameter.requires_grad for parameter in unet.parameters())


PLACES = [
    ("conv_in.weight", 1), ("time_embedding.linear_1.weight", 0), ("add_embedding.linear_2.bias", 0),
    ("down_blocks.0.resnets.1.conv1.weight", 3), ("down_blocks.0.downsamplers.0.conv.weight", 4),
    ("mid_block.attentions.0.proj_in.weight", 11), ("mid_block.resnets.1.norm1.weight", 12),
    ("up_blocks.0.resnets.0.conv1.weight", 13), ("up_blocks.2.resnets.2.conv2.bias", 21), ("conv_out.weight", 22),
    ("conv_norm_out.bias", 22),
]  # fmt: skip


def test_blocks_are_counted_as_in_the_reference(method: Make) -> None:
    """0 what is embedded, 1 + n input blocks, 10 + n middle, 13 + n output, 22 the last layers."""
    config = method(sdxl=True).family.unet.config
    assert [(name, sdxl.ORIGINAL.block(name, config)) for name, _ in PLACES] == PLACES


def test_a_state_holds_weights_and_average_and_nothing_else(method: Make) -> None:
    made = method(ema=True)
    state = made.state_dict()
    weights = {name for name in state if not name.startswith("ema.")}
    assert {name.split(".")[0] for name in weights} == {"unet", "text_encoder"}
    assert {name.removeprefix("ema.") for name in state if name.startswith("ema.")} == {*weights, "steps"}
    assert not any(name.startswith("ema.") for name in method().state_dict())
    with pytest.raises(KeyError, match="ema.* is only in it"):
        method().load_state_dict(state)
    with pytest.raises(KeyError, match="ema.* is only in what is trained here"):
        made.load_state_dict(method().state_dict())


def test_the_average_stands_in_place_only_while_weights_rest(method: Make) -> None:
    made = method(ema=True, ema_decay=0.5)
    before = made.family.unet.conv_in.weight.detach().clone()
    made.train_mode()
    made.family.unet.conv_in.weight.data.add_(1)
    made.after_step()
    made.eval_mode()
    torch.testing.assert_close(made.family.unet.conv_in.weight.data, before + 0.9)
    assert torch.equal(made.state_dict()["unet.conv_in.weight"], before + 1)
    made.eval_mode()
    made.train_mode()
    assert torch.equal(made.family.unet.conv_in.weight.data, before + 1)


def test_the_first_values_are_soon_forgotten() -> None:
    """After n steps that took the weight to n, by hand: shares 0.9, 1 - 2/11, 1 - 3/12, and never below 1 - decay."""
    weight = torch.nn.Parameter(torch.zeros(1))
    averages = Averages({"w": weight}, 0.2)
    expected = 0.0
    for step, share in ((1, 0.9), (2, 9 / 11), (3, 0.8), (4, 0.8)):
        weight.data.fill_(step)
        averages.update()
        expected += share * (step - expected)
        assert float(averages.state_dict()["w"]) == pytest.approx(expected)


def test_the_text_encoder_can_stop(method: Make) -> None:
    made = method()
    assert made.trains_text_encoder
    names = set(made.state_dict())
    made.stop_text_encoder()
    assert not made.trains_text_encoder and set(made.state_dict()) == names
    unet = [id(parameter) for parameter in made.family.unet.parameters()]
    assert [id(parameter) for parameter in made.parameters()] == unet


SAID: list[tuple[dict[str, Any], str]] = [
    ({"unet_lr": 0, "text_encoder_lr": 1e-6}, "unet_lr: It is 0, so the U-Net stays as it is."),
    ({"text_encoder_lr": 0}, "text_encoder_lr: It is 0, so the text encoder stays as it is."),
    ({"sdxl": True, "text_encoder_lr": "0 1e-6"}, "text_encoder_lr: It is 0, so the first text encoder stays as it is."),
    ({"sdxl": True, "text_encoder_lr": "1e-6,0"}, "text_encoder_lr: It is 0, so the second text encoder stays as it is."),
    ({"train_text_encoder": False, "text_encoder_lr": 1e-6}, "text_encoder_lr: The text encoder is not trained, so it has no effect."),
    ({"train_text_encoder": False, "stop_text_encoder_training": 9}, "stop_text_encoder_training: The text encoder is not trained, so it has no effect."),
    ({"learning_rate": 1e-4}, "learning_rate: 0.0001 is much for a whole model; 1e-6 to 1e-5 is usual."),
    ({"ema_decay": 0.9}, "ema_decay: It has no effect unless ema is on."),
    ({"block_lr": "1e-6"}, "block_lr: Learning rates of blocks has no effect on sd1 models; it works for sdxl."),
    ({"sdxl": True, "unet_lr": 1e-6, "block_lr": [1e-6] * 23}, "unet_lr: block_lr gives each block its own rate, so it has no effect."),
    ({"sdxl": True, "optimizer_type": "AdaFactor", "block_lr": [1e-6, *[2e-6] * 22]}, "block_lr: AdaFactor with relative_step finds one rate for everything, so it only says which are trained."),
    ({"network_dim": 8}, "network_dim: Network rank has no effect on dreambooth training; it works for lora."),
]  # fmt: skip
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"text_encoder_lr": "1e-6 1e-6"}, "text_encoder_lr: It has 2 values, and the model has one text encoder; give 1 at most."),
    ({"sdxl": True, "text_encoder_lr": "1 1 1"}, "text_encoder_lr: It has 3 values, and the model has 2 text encoders; give 2 at most."),
    ({"unet_lr": 0, "stop_text_encoder_training": "50%"}, "stop_text_encoder_training: Only the text encoder is trained, so nothing would be left to train; leave this empty."),
    ({"sdxl": True, "block_lr": "1e-6 1e-6"}, "block_lr: It has 2 values, and the U-Net of SDXL has 23 blocks; give 23."),
    ({"sdxl": True, "block_lr": [-1] * 23}, "block_lr: A learning rate can't be negative; use 0 to leave a block as it is."),
    ({"unet_lr": 0, "train_text_encoder": False}, "unet_lr: It is 0 and the text encoder is not trained, so nothing would be trained; change one of them."),
    ({"save_model_as": "pt"}, "save_model_as: A whole model can't be saved as pt; choose one of safetensors, ckpt, diffusers, diffusers_safetensors."),
    ({"method": "lora", "save_model_as": "diffusers"}, "save_model_as: A network can't be saved as diffusers; choose one of safetensors, ckpt, pt."),
    ({"fused_backward_pass": True, "fused_optimizer_groups": 4}, "fused_optimizer_groups: fused_backward_pass is on too; use one of the two."),
    ({"fused_backward_pass": True, "gradient_accumulation_steps": 2}, "fused_backward_pass: It changes weights with every batch, so gradient_accumulation_steps must be 1; change one of them."),
    ({"fused_optimizer_groups": 4, "optimizer_type": "Prodigy"}, "fused_optimizer_groups: Prodigy needs all gradients at once to find its rate; choose another optimizer or turn this off."),
    ({"fused_backward_pass": True, "mixed_precision": "fp16"}, "fused_backward_pass: fp16 scales all gradients at once, which it can't do; choose bf16 or turn this off."),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "sentence"), SAID, ids=lambda value: str(value)[:60])
def test_what_has_no_effect_is_said(settings: dict[str, Any], sentence: str) -> None:
    loaded = from_flat({"method": "dreambooth", "learning_rate": 2e-6, **settings})
    assert sentence in map(str, loaded.problems) and not loaded.errors


@pytest.mark.parametrize(("settings", "sentence"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_can_not_be_is_refused(settings: dict[str, Any], sentence: str) -> None:
    loaded = from_flat({"method": "dreambooth", "learning_rate": 2e-6, **settings})
    assert sentence in map(str, loaded.errors)


def test_usual_settings_need_no_word() -> None:
    for method in ("dreambooth", "finetune"):
        assert from_flat({"method": method, "learning_rate": 2e-6}).problems == []
