"""The adapter method on a tiny model: what is trained, saved and read back, by us and by diffusers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sd_scripts.adapters import io
from sd_scripts.config.load import from_flat
from sd_scripts.errors import UserError
from sd_scripts.methods.adapter import AdapterMethod
from sd_scripts.training.progress import Progress

CAPTIONS = ["a red apple", "nothing"]
Make = Callable[..., AdapterMethod]


@pytest.fixture
def method(fresh: Any, tiny_model: Path, tmp_path: Path) -> Make:
    def make(seed: int = 0, randomize: bool = False, **flat: Any) -> AdapterMethod:
        config = from_flat(
            {"pretrained_model_name_or_path": str(tiny_model), "output_dir": str(tmp_path), **flat}
        ).unwrap()
        made = AdapterMethod(config, fresh(config), seed)
        made.eval_mode()
        if randomize:
            torch.manual_seed(5)
            for parameter in made.parameters():
                parameter.data += 0.1 * torch.randn_like(parameter)
        return made

    return make


def drawn(family: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """(text encoder's output, U-Net's prediction)"""
    torch.manual_seed(6)
    noisy_BCHW = torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        condition = family.condition(CAPTIONS)
        return condition.text_BTC, family.predict(noisy_BCHW, torch.tensor([3, 900]), condition)


@pytest.mark.parametrize("settings", [{}, {"conv_dim": 2, "conv_alpha": 0.5, "network_alpha": 3}])
def test_diffusers_loads_what_we_save(method: Make, tiny_model: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    """load_lora_weights gives the very prediction that training saw."""
    pytest.importorskip("peft")
    from diffusers import StableDiffusionPipeline

    trained = method(randomize=True, **settings)
    text_BTC, predicted_BCHW = drawn(trained.family)
    trained.save(tmp_path / "lora.safetensors", Progress(step=1))
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_model, safety_checker=None, requires_safety_checker=False)
    pipeline.load_lora_weights(tmp_path / "lora.safetensors")
    torch.manual_seed(6)
    noisy_BCHW = torch.randn(2, 4, 8, 8)
    ids = pipeline.tokenizer(CAPTIONS, padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.no_grad():
        theirs_BTC = pipeline.text_encoder(ids)[0]
        theirs_BCHW = pipeline.unet(noisy_BCHW, torch.tensor([3, 900]), encoder_hidden_states=theirs_BTC).sample
    assert torch.allclose(theirs_BTC, text_BTC, atol=1e-5)
    assert torch.allclose(theirs_BCHW, predicted_BCHW, atol=1e-5)
    untouched = method()
    assert (drawn(untouched.family)[0] - text_BTC).abs().max() > 1e-2


def test_network_weights_start_where_a_file_ended(method: Make, tmp_path: Path) -> None:
    trained = method(randomize=True)
    trained.save(tmp_path / "lora.safetensors", Progress())
    again = method(network_weights=str(tmp_path / "lora.safetensors"))
    assert all(torch.equal(a, b) for a, b in zip(drawn(again.family), drawn(trained.family), strict=True))


def test_dim_from_weights_takes_ranks_and_modules(method: Make, tmp_path: Path) -> None:
    trained = method(randomize=True, network_dim=3, conv_dim=2, unet_lr=1e-4, text_encoder_lr=0)
    trained.save(tmp_path / "lora.safetensors", Progress())
    again = method(network_weights=str(tmp_path / "lora.safetensors"), dim_from_weights=True, network_dim=16)
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in trained.state_dict().items()}
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(drawn(again.family), drawn(trained.family), strict=True))


def test_base_weights_are_merged_before_training(method: Make, tmp_path: Path) -> None:
    """And change nothing about which modules are trained."""
    trained = method(randomize=True, conv_dim=2)
    trained.save(tmp_path / "lora.safetensors", Progress())
    based = method(base_weights=[str(tmp_path / "lora.safetensors")])
    assert set(based.adapters.modules) == set(method().adapters.modules)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(drawn(based.family), drawn(trained.family), strict=True))
    off = method(base_weights=[str(tmp_path / "lora.safetensors")], base_weights_multiplier=[0])
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(drawn(off.family), drawn(method().family), strict=True))


@pytest.mark.parametrize("changed", ["other names", "other shapes"])
def test_base_weights_of_another_kind_of_model_are_refused(method: Make, tmp_path: Path, changed: str) -> None:
    shape = 16 if changed == "other names" else 24
    name = "lora_te2_layer" if changed == "other names" else "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
    tensors = {f"{name}.lora_down.weight": torch.ones(2, shape), f"{name}.lora_up.weight": torch.ones(shape, 2)}
    io.save(tmp_path / "other.safetensors", {**tensors, f"{name}.alpha": torch.tensor(1.0)}, {})
    with pytest.raises(UserError) as raised:
        method(base_weights=[str(tmp_path / "other.safetensors")])
    assert str(raised.value) == (
        f"base_weights: {tmp_path / 'other.safetensors'} is for another kind of model than this one; "
        "choose a fitting one, or leave it out."
    )


@pytest.mark.parametrize(
    ("settings", "parts", "notices"),
    [
        ({}, {"unet", "text_encoder"}, []),
        ({"network_train_unet_only": True}, {"unet"}, []),
        ({"network_train_text_encoder_only": True}, {"text_encoder"}, []),
        (
            {"text_encoder_lr": 0},
            {"unet"},
            ["text_encoder_lr: It is 0, so the text encoder is not trained and not in the saved file."],
        ),
        (
            {"unet_lr": 0},
            {"text_encoder"},
            ["unet_lr: It is 0, so the U-Net is not trained and not in the saved file."],
        ),
    ],
)
def test_a_rate_of_0_means_not_trained(
    method: Make, settings: dict[str, Any], parts: set[str], notices: list[str]
) -> None:
    made = method(**settings)
    assert made.adapters.train_parts == parts
    assert {key.split("_")[1] for key in made.state_dict()} == {
        {"unet": "unet", "text_encoder": "te"}[part] for part in parts
    }
    assert made.trains_text_encoder == ("text_encoder" in parts)
    assert [str(notice) for notice in made.notices] == notices


def test_nothing_to_train_is_refused(method: Make) -> None:
    with pytest.raises(
        UserError,
        match="There is nothing to train: every rate or rank is 0; give the U-Net or the text encoder a learning rate.",
    ):
        method(network_train_unet_only=True, block_dims=[0] * 25)


def test_only_the_adapters_are_trained(method: Make) -> None:
    made = method(gradient_checkpointing=True)
    made.family.checkpoint_gradients()
    made.train_mode()
    predicted = made.family.predict(torch.randn(1, 4, 8, 8), torch.tensor([5]), made.family.condition(["a"]))
    predicted.square().mean().backward()
    assert all(parameter.grad is not None for parameter in made.parameters())
    assert all(parameter.grad is None for network in made.family.networks for parameter in network.parameters())


def test_gradient_checkpointing_changes_no_gradient(method: Make) -> None:
    def gradients(checkpointed: bool) -> list[torch.Tensor]:
        made = method(randomize=True, network_dropout=0.2, rank_dropout=0.2, module_dropout=0.2)
        if checkpointed:
            made.family.checkpoint_gradients()
        made.train_mode()
        torch.manual_seed(8)
        made.family.predict(
            torch.ones(1, 4, 8, 8), torch.tensor([5]), made.family.condition(["a"])
        ).square().mean().backward()
        return [parameter.grad for parameter in made.parameters() if parameter.grad is not None]

    plain, checkpointed = gradients(False), gradients(True)
    assert len(plain) == len(checkpointed) > 100
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(plain, checkpointed, strict=True))


def test_a_stopped_text_encoder_keeps_its_place_in_the_file(method: Make) -> None:
    made = method()
    keys = set(made.state_dict())
    made.stop_text_encoder()
    assert set(made.state_dict()) == keys
    assert len(list(made.parameters())) == 2 * sum(name.startswith("lora_unet") for name in made.adapters.modules)


def test_a_state_is_taken_over_exactly_or_not_at_all(method: Make) -> None:
    one, two = method(randomize=True), method(seed=9)
    two.load_state_dict(one.state_dict())
    assert all(torch.equal(value, two.state_dict()[key]) for key, value in one.state_dict().items())
    with pytest.raises(KeyError):
        two.load_state_dict(method(network_train_unet_only=True).state_dict())


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [(None, torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16), ("float", torch.float32)],
)
def test_save_precision(method: Make, tmp_path: Path, precision: str | None, dtype: torch.dtype) -> None:
    method(save_precision=precision).save(tmp_path / "a.safetensors", Progress(step=4, epoch=2))
    tensors, metadata = io.load(tmp_path / "a.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {dtype}
    assert (metadata["ss_steps"], metadata["ss_epoch"], metadata["modelspec.title"]) == ("4", "2", "LoRA")


def test_no_metadata(method: Make, tmp_path: Path) -> None:
    method(no_metadata=True).save(tmp_path / "a.safetensors", Progress())
    _, metadata = io.load(tmp_path / "a.safetensors")
    assert {key for key in metadata if key.startswith("ss_")} == {
        f"ss_{name}"
        for name in ("v2", "base_model_version", "network_module", "network_dim", "network_alpha", "network_args")
    }
    assert {"sshs_model_hash", "sshs_legacy_hash", "modelspec.architecture"} <= set(metadata)


def test_secrets_are_not_in_the_file(method: Make, tmp_path: Path) -> None:
    method(huggingface_token="hf_very_secret", huggingface_repo_id="a/b").save(tmp_path / "a.safetensors", Progress())
    assert b"hf_very_secret" not in (tmp_path / "a.safetensors").read_bytes()


def test_trained_weights_are_32_bit_unless_asked_for(method: Make) -> None:
    half = method(mixed_precision="bf16")
    assert {parameter.dtype for parameter in half.parameters()} == {torch.float32}
    assert half.family.unet.dtype == torch.bfloat16
    full = method(mixed_precision="bf16", full_bf16=True)
    assert {parameter.dtype for parameter in full.parameters()} == {torch.bfloat16}


def test_8_bit_bases_predict_nearly_the_same(method: Make) -> None:
    """Against bf16, in which they compute; and gradients reach the adapters."""
    made = method(mixed_precision="bf16")
    with torch.autocast("cpu", torch.bfloat16):
        before = drawn(made.family)[1].float()
        made.family.store_in_8_bits(text_encoder=True)
        after = drawn(made.family)[1].float()
    assert made.family.unet.down_blocks[0].resnets[0].conv1.weight.dtype == torch.float8_e4m3fn
    assert (before - after).abs().mean() < 0.1 * before.abs().mean()
    with torch.autocast("cpu", torch.bfloat16):
        made.family.predict(
            torch.randn(1, 4, 8, 8), torch.tensor([5]), made.family.condition(["a"])
        ).float().square().mean().backward()
    assert all(parameter.grad is not None for parameter in made.parameters())


def test_scale_weight_norms_limits_after_a_step(method: Make) -> None:
    made = method(randomize=True, scale_weight_norms=0.01)
    assert float(made.after_step()["max_key_norm"]) <= 0.0101
    assert method(randomize=True).after_step() == {}
