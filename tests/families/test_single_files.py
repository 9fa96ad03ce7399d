"""Single files of every family: what diffusers makes of one, we make of it too, and of ours it makes the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file

from sd_scripts.config.model import ModelConfig
from sd_scripts.config.precision import PrecisionConfig
from sd_scripts.errors import UserError
from sd_scripts.families import load_family
from sd_scripts.families.latent_diffusion import LatentDiffusion

CASES: dict[str, tuple[str, dict[str, Any], Any]] = {
    "sd1": ("tiny_model", {}, StableDiffusionPipeline),
    "sd2-v": ("tiny_sd2", {"v2": True, "v_parameterization": True}, StableDiffusionPipeline),
    "sdxl": ("tiny_sdxl", {"sdxl": True}, StableDiffusionXLPipeline),
}


def load(path: Path, settings: dict[str, Any]) -> LatentDiffusion:
    return load_family(ModelConfig(pretrained_model_name_or_path=str(path), **settings), PrecisionConfig())


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Path, dict[str, Any], Any]:
    fixture, settings, pipeline = CASES[request.param]
    return request.getfixturevalue(fixture), settings, pipeline


def test_diffusers_makes_the_same_of_our_single_file(case: tuple[Path, dict[str, Any], Any], tmp_path: Path) -> None:
    folder, settings, kind = case
    family = load(folder, settings)
    file = tmp_path / "model.safetensors"
    save_file({key: value.contiguous() for key, value in family.original_tensors().items()}, file)
    pipeline = kind.from_single_file(str(file), config=str(folder), local_files_only=True)
    theirs = {name: getattr(pipeline, name) for name in family.pipeline_parts() if "tokenizer" not in name}
    for name, network in theirs.items():
        ours = family.pipeline_parts()[name].state_dict()
        found = network.state_dict()
        assert ours.keys() == found.keys()
        assert all(torch.equal(found[key], value) for key, value in ours.items()), name


def test_there_and_back_is_the_same_file(case: tuple[Path, dict[str, Any], Any], tmp_path: Path) -> None:
    folder, settings, _ = case
    file = tmp_path / "model.safetensors"
    family = load(folder, settings)
    tensors = {key: value.contiguous() for key, value in family.original_tensors().items()}
    save_file(tensors, file, metadata=family.noted_configs())
    again = load(file, settings).original_tensors()
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[key], value) for key, value in load_file(file).items())


def test_sd2_files_hold_a_block_that_is_not_used(tiny_sd2: Path) -> None:
    """Their last one: OpenCLIP's 24th, of which Stable Diffusion 2 takes 23."""
    family = load(tiny_sd2, {"v2": True, "v_parameterization": True})
    names = family.original_tensors()
    assert family.text_encoders[0].config.num_hidden_layers == 3
    assert "cond_stage_model.model.transformer.resblocks.3.mlp.c_fc.weight" in names
    assert "cond_stage_model.model.transformer.resblocks.4.mlp.c_fc.weight" not in names


def test_sdxl_files_hold_the_projection_the_other_way_round(tiny_sdxl: Path) -> None:
    family = load(tiny_sdxl, {"sdxl": True})
    names = family.original_tensors()
    projection = names["conditioner.embedders.1.model.text_projection"]
    assert projection.shape == (32, 20)
    assert torch.equal(projection.T, family.text_encoders[1].text_projection.weight)
    assert names["conditioner.embedders.1.model.logit_scale"].item() == pytest.approx(4.6052)
    assert "conditioner.embedders.1.model.transformer.resblocks.4.mlp.c_fc.weight" not in names


def test_a_sdxl_file_without_notes_is_told_from_its_shapes(tmp_path: Path) -> None:
    """With SDXL's own heads and groups, which shapes can't tell: widths of 64 and more."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    from sd_scripts.families.parts import Parts
    from sd_scripts.families.sdxl import StableDiffusionXL

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(32, 64, 128), cross_attention_dim=128, attention_head_dim=[1, 1, 2],
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), use_linear_projection=True,
        transformer_layers_per_block=[1, 1, 2], addition_embed_type="text_time", addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=6 * 256 + 64,
    )  # fmt: skip
    text = {"hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 1}
    one = CLIPTextModel(CLIPTextConfig(num_hidden_layers=2, **text))
    two = CLIPTextModelWithProjection(CLIPTextConfig(num_hidden_layers=3, projection_dim=64, hidden_act="gelu", **text))
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(32, 32), layers_per_block=2,
    )  # fmt: skip
    made = StableDiffusionXL(Parts(unet, [one, two], [], vae), ModelConfig(), torch.float32)
    save_file({k: v.contiguous() for k, v in made.original_tensors().items()}, tmp_path / "model.safetensors")
    family = load(tmp_path / "model.safetensors", {"sdxl": True})
    assert family.scaling_factor == 0.13025
    made.tokenizers = family.tokenizers
    noisy_BCHW, t_B = torch.randn(1, 4, 8, 8), torch.tensor([7])
    with torch.no_grad():
        predictions = [one.predict(noisy_BCHW, t_B, one.condition(["a cat"])) for one in (made, family)]
    assert torch.allclose(*predictions, atol=1e-6)


def test_a_network_with_more_blocks_than_it_seems_is_refused(tiny_sdxl: Path, tmp_path: Path) -> None:
    """Its way up deeper than its way down: nothing is left out in silence."""
    family = load(tiny_sdxl, {"sdxl": True})
    tensors = {key: value.contiguous() for key, value in family.original_tensors().items()}
    start = "model.diffusion_model.output_blocks.0.1.transformer_blocks."
    more = {key.replace(f"{start}2.", f"{start}3."): value.clone() for key, value in tensors.items()}
    save_file(more | tensors, tmp_path / "model.safetensors", metadata=family.noted_configs())
    with pytest.raises(UserError, match="20 tensors have no place in it, such as up_blocks.0.attentions.0"):
        load(tmp_path / "model.safetensors", {"sdxl": True})


def test_a_file_that_is_marked_as_predicting_velocity(tiny_sdxl: Path, tmp_path: Path) -> None:
    family = load(tiny_sdxl, {"sdxl": True})
    tensors = {key: value.contiguous() for key, value in family.original_tensors().items()}
    file = tmp_path / "model.safetensors"
    save_file(tensors | {"v_pred": torch.zeros(0)}, file, metadata=family.noted_configs())
    (notice,) = load(file, {"sdxl": True}).notices
    assert notice.key == "v_parameterization"
    assert load(file, {"sdxl": True, "v_parameterization": True}).notices == []
