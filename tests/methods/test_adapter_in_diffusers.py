"""Networks of SD 2.x and SDXL as diffusers loads them: the very prediction that training saw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file

from sd_scripts.config.load import from_flat
from sd_scripts.methods.adapter import AdapterMethod
from sd_scripts.training.progress import Progress

pytest.importorskip("peft")
CAPTIONS = ["a red apple", "nothing"]
T_B = torch.tensor([3, 900])
CONVOLUTIONS = {"conv_dim": 2, "conv_alpha": 0.5, "network_alpha": 3}
Make = Callable[..., AdapterMethod]


@pytest.fixture
def method(fresh: Any, tmp_path: Path) -> Make:
    def make(folder: Path, **flat: Any) -> AdapterMethod:
        settings = {"pretrained_model_name_or_path": str(folder), "output_dir": str(tmp_path), **flat}
        config = from_flat(settings).unwrap()
        made = AdapterMethod(config, fresh(config))
        made.eval_mode()
        torch.manual_seed(5)
        for parameter in made.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
        return made

    return make


def noisy_BCHW() -> torch.Tensor:
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(6))


@torch.no_grad()
def seen(method: AdapterMethod) -> torch.Tensor:
    return method.family.predict(noisy_BCHW(), T_B, method.family.condition(CAPTIONS))


@torch.no_grad()
def predicted(pipeline: Any) -> torch.Tensor:
    """As the pipeline tells its U-Net, of pictures that were neither resized nor cut."""
    if isinstance(pipeline, StableDiffusionPipeline):
        text_BTC, _ = pipeline.encode_prompt(CAPTIONS, "cpu", 1, do_classifier_free_guidance=False)
        return pipeline.unet(noisy_BCHW(), T_B, encoder_hidden_states=text_BTC).sample
    text_BTC, _, pooled_BD, _ = pipeline.encode_prompt(CAPTIONS, do_classifier_free_guidance=False)
    sizes = torch.tensor([[16, 16, 0, 0, 16, 16]] * 2)
    added = {"text_embeds": pooled_BD, "time_ids": sizes}
    return pipeline.unet(noisy_BCHW(), T_B, encoder_hidden_states=text_BTC, added_cond_kwargs=added).sample


@pytest.mark.parametrize(("family", "settings"), [("sd2", {}), ("sd2", CONVOLUTIONS), ("sdxl", CONVOLUTIONS)])
def test_diffusers_loads_what_we_save(
    family: str, settings: dict[str, Any], method: Make, fresh: Any, tiny_sd2: Path, tiny_sdxl: Path, tmp_path: Path
) -> None:
    folder, flags, kind_of_pipeline = {
        "sd2": (tiny_sd2, {"v2": True, "v_parameterization": True}, StableDiffusionPipeline),
        "sdxl": (tiny_sdxl, {"sdxl": True}, StableDiffusionXLPipeline),
    }[family]
    trained = method(folder, **flags, **settings)
    trained.save(tmp_path / "lora.safetensors", Progress(step=1))
    again = fresh(trained.config)
    pipeline = kind_of_pipeline(
        **again.pipeline_parts(), scheduler=None, **({} if family == "sdxl" else {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}),
    )  # fmt: skip
    assert pipeline.unet is not trained.family.unet
    plain = predicted(pipeline)
    pipeline.load_lora_weights(tmp_path / "lora.safetensors")
    assert torch.allclose(predicted(pipeline), seen(trained), atol=1e-5)
    assert (plain - seen(trained)).abs().max() > 1e-3


def test_both_text_encoders_of_sdxl_have_rates_of_their_own(method: Make, tiny_sdxl: Path) -> None:
    both = method(tiny_sdxl, sdxl=True, text_encoder_lr=[2e-5, 1e-6], unet_lr=1e-4)
    rates = {group["name"]: group["lr"] for group in both.trainable_groups()}
    assert rates == {"unet": 1e-4, "text_encoder": 2e-5, "text_encoder_2": 1e-6}
    one = method(tiny_sdxl, sdxl=True, text_encoder_lr=[2e-5, 0])
    assert one.adapters.train_parts == {"unet", "text_encoder"}
    assert [str(notice) for notice in one.notices] == [
        "text_encoder_lr: It is 0, so the second text encoder is not trained and not in the saved file."
    ]


def test_each_block_of_sdxl_has_a_rate_and_a_rank(method: Make, tiny_sdxl: Path) -> None:
    ranks = [4] * 23
    ranks[9] = 2  # input block 8
    made = method(tiny_sdxl, sdxl=True, block_dims=ranks, down_lr_weight="1,1,1,1,0,1,1,1,0.5", unet_lr=1e-4)
    names = set(made.adapters.modules)
    assert "lora_unet_input_blocks_5_1_proj_in" in names
    assert not [name for name in names if name.startswith("lora_unet_input_blocks_4_")]
    rates = {group["name"]: group["lr"] for group in made.trainable_groups()}
    assert (rates["unet_block_09"], rates["unet_block_06"]) == (5e-5, 1e-4)
    assert made.state_dict()["lora_unet_input_blocks_8_1_proj_in.lora_down.weight"].shape[0] == 2


def test_metadata_say_sdxl(method: Make, tiny_sdxl: Path, tmp_path: Path) -> None:
    from sd_scripts.adapters import io

    made = method(tiny_sdxl, sdxl=True)
    made.save(tmp_path / "lora.safetensors", Progress(step=1))
    tensors, metadata = io.load(tmp_path / "lora.safetensors")
    assert {key.split("_")[1] for key in tensors} == {"unet", "te1", "te2"}
    assert metadata["ss_base_model_version"] == "sdxl_base_v1-0"
    assert metadata["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
    assert load_file(tmp_path / "lora.safetensors").keys() == tensors.keys()
