"""What the settings of model and precision change in a loaded model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0, SlicedAttnProcessor

from sd_scripts.config.model import ModelConfig
from sd_scripts.config.precision import PrecisionConfig
from sd_scripts.families import load_family
from sd_scripts.families.base import ModelFamily


def load(folder: Path, precision: dict[str, Any] | None = None, **model: Any) -> ModelFamily:
    settings = ModelConfig(pretrained_model_name_or_path=str(folder), **model)
    return load_family(settings, PrecisionConfig(**precision or {}))


def pictures() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(3, 3, 16, 16) * 2 - 1


def generators() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(i) for i in range(3)]


def predicted(family: ModelFamily) -> torch.Tensor:
    torch.manual_seed(1)
    with torch.no_grad():
        return family.predict(torch.randn(1, 4, 8, 8), torch.tensor([500]), family.condition(["a cat"])).float()


@pytest.mark.parametrize(
    ("mixed_precision", "dtype"), [("no", torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16)]
)
def test_frozen_weights_are_in_the_compute_dtype(tiny_model: Path, mixed_precision: str, dtype: torch.dtype) -> None:
    family = load(tiny_model, {"mixed_precision": mixed_precision}, no_half_vae=True)
    assert {parameter.dtype for parameter in family.unet.parameters()} == {dtype}
    assert {parameter.dtype for parameter in family.text_encoders[0].parameters()} == {dtype}
    assert {parameter.dtype for parameter in family.vae.parameters()} == {torch.float32}
    assert not any(parameter.requires_grad for network in family.networks for parameter in network.parameters())


def test_the_vae_is_halved_too_unless_asked_not_to(tiny_model: Path) -> None:
    assert load(tiny_model, {"mixed_precision": "bf16"}).vae.dtype == torch.bfloat16


def test_missing_xformers_are_announced_and_replaced(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise ModuleNotFoundError("xformers")

    monkeypatch.setattr("diffusers.ModelMixin.enable_xformers_memory_efficient_attention", missing)
    family = load(tiny_model, {"xformers": True})
    assert [str(notice) for notice in family.notices] == [
        "xformers: xFormers is not installed, so PyTorch's own attention (SDPA) is used."
    ]
    assert {type(processor) for processor in family.unet.attn_processors.values()} == {AttnProcessor2_0}


def test_attention_in_slices_predicts_the_same(tiny_model: Path) -> None:
    sliced, plain = load(tiny_model, {"mem_eff_attn": True}), load(tiny_model)
    assert {type(processor) for processor in sliced.unet.attn_processors.values()} == {SlicedAttnProcessor}
    assert torch.allclose(predicted(sliced), predicted(plain), atol=1e-5)
    both = load(tiny_model, {"mem_eff_attn": True, "sdpa": True})
    assert {type(processor) for processor in both.unet.attn_processors.values()} == {AttnProcessor2_0}


def test_latents_of_a_picture_do_not_depend_on_its_neighbours(tiny_model: Path) -> None:
    """Nor on how many the VAE takes at once."""
    family = load(tiny_model)
    together = family.encode_images(pictures(), generators())
    family.vae_batch_size = 2
    assert torch.allclose(family.encode_images(pictures(), generators()), together, atol=1e-5)
    alone = family.encode_images(pictures()[1:2], generators()[1:2])
    assert torch.allclose(alone, together[1:2], atol=1e-5)


def test_cached_latents_are_scaled_as_encoded_ones(tiny_model: Path) -> None:
    family = load(tiny_model)
    unscaled = family.encode_images(pictures(), generators())
    cached = SimpleNamespace(captions=[], pixels_BCHW=None, latents_BCHW=unscaled)
    fresh = SimpleNamespace(captions=[], pixels_BCHW=pictures(), latents_BCHW=None)
    assert torch.allclose(family.latents(cached), unscaled * 0.18215)
    assert torch.allclose(family.latents(fresh, generators()), unscaled * 0.18215, atol=1e-6)


def test_another_vae_takes_the_place_of_the_models_own(tiny_model: Path, tiny_sd2: Path) -> None:
    assert load(tiny_model).vae_factor == 4
    assert load(tiny_model, vae=str(tiny_sd2 / "vae")).vae_factor == 2
    assert load(tiny_model, vae=str(tiny_sd2)).vae_factor == 2


def test_what_the_model_predicts_is_what_the_settings_say(tiny_sd2: Path) -> None:
    """A contradiction with the folder's own config is said."""
    fitting = load(tiny_sd2, v2=True, v_parameterization=True)
    assert (fitting.prediction_type, fitting.notices) == ("v_prediction", [])
    other = load(tiny_sd2, v2=True)
    assert other.prediction_type == "epsilon"
    assert [str(notice) for notice in other.notices] == [
        "v_parameterization: The model's own config says that it predicts v_prediction; "
        "turn this on unless you know better."
    ]


@pytest.mark.parametrize(
    "settings", [{"clip_skip": 2}, {"max_token_length": 150}, {"weighted_captions": True}], ids=lambda s: next(iter(s))
)
def test_each_setting_of_reading_changes_the_condition(tiny_model: Path, settings: dict[str, Any]) -> None:
    caption = " ".join(["(apple)"] * 60)
    plain = load(tiny_model).condition([caption]).text_BTC
    changed = load(tiny_model, **settings).condition([caption]).text_BTC
    assert plain.shape != changed.shape or not torch.allclose(plain, changed)


def test_the_pipeline_draws_with_the_very_networks(tiny_model: Path) -> None:
    from diffusers import DDIMScheduler

    family = load(tiny_model)
    pipeline = family.pipeline(DDIMScheduler(**family.noise_schedule, clip_sample=False, steps_offset=1))
    assert (pipeline.unet, pipeline.vae, pipeline.text_encoder) == (family.unet, family.vae, family.text_encoders[0])


@pytest.mark.parametrize("there", ["cpu", "cuda"])
def test_lowram_reads_the_weights_straight_to_the_device(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    """A processor by another name stands in for the GPU."""
    from diffusers import ModelMixin

    from sd_scripts.families import latent_diffusion

    monkeypatch.setattr("torch.cuda.is_available", lambda: there == "cuda")
    asked = [latent_diffusion.loading_device(ModelConfig(lowram=lowram)) for lowram in (False, True)]
    assert asked == ["cpu", there]
    maps, read = [], ModelMixin.from_pretrained.__func__

    def reading(kind: Any, *given: Any, **more: Any) -> Any:
        maps.append(more.get("device_map"))
        return read(kind, *given, **more)

    monkeypatch.undo()
    monkeypatch.setattr(ModelMixin, "from_pretrained", classmethod(reading))
    monkeypatch.setattr(latent_diffusion, "loading_device", lambda model: "cpu:0" if model.lowram else "cpu")
    plain, straight = (predicted(load(tiny_model, lowram=lowram)) for lowram in (False, True))
    assert maps == [None, None, "cpu:0", "cpu:0"] and torch.allclose(plain, straight, atol=1e-4)
