"""The original layout: our tables against diffusers' converters, and there and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from transformers import CLIPTextConfig, CLIPTextModel

from sd_scripts.config.model import ModelConfig
from sd_scripts.config.precision import PrecisionConfig
from sd_scripts.errors import UserError
from sd_scripts.families import configs, load_family
from sd_scripts.families.latent_diffusion import LatentDiffusion
from sd_scripts.families.names import ldm


def with_prefix(prefix: str, tensors: dict) -> dict:
    return {prefix + key: value.contiguous() for key, value in tensors.items()}


def load(path: Path, family: str = "sd1") -> LatentDiffusion:
    """Of models that predict what the tiny ones' schedulers say."""
    settings = {"v2": family == "sd2", "sdxl": family == "sdxl", "v_parameterization": family == "sd2"}
    return load_family(ModelConfig(pretrained_model_name_or_path=str(path), **settings), PrecisionConfig())


@pytest.fixture(params=["sd1", "sd2", "sdxl"])
def case(request: pytest.FixtureRequest, tiny_model: Path, tiny_sd2: Path, tiny_sdxl: Path) -> tuple[str, Path]:
    return request.param, {"sd1": tiny_model, "sd2": tiny_sd2, "sdxl": tiny_sdxl}[request.param]


def test_diffusers_reads_our_unet_names_as_we_do(case: tuple[str, Path]) -> None:
    unet = UNet2DConditionModel.from_pretrained(case[1] / "unet")
    original = with_prefix(ldm.UNET, ldm.unet_to_ldm(unet.state_dict(), unet.config))
    theirs = convert_ldm_unet_checkpoint(dict(original), dict(unet.config))
    assert theirs.keys() == unet.state_dict().keys()
    assert all(torch.equal(theirs[key], value) for key, value in unet.state_dict().items())


def test_diffusers_reads_our_vae_names_as_we_do(case: tuple[str, Path]) -> None:
    vae = AutoencoderKL.from_pretrained(case[1] / "vae")
    original = with_prefix(ldm.VAE, ldm.vae_to_ldm(vae.state_dict(), vae.config))
    assert original[ldm.VAE + "encoder.mid.attn_1.q.weight"].ndim == 4
    theirs = convert_ldm_vae_checkpoint(dict(original), dict(vae.config))
    assert theirs.keys() == vae.state_dict().keys()
    assert all(torch.equal(theirs[key], value) for key, value in vae.state_dict().items())


def test_a_pickled_checkpoint_without_notes_is_read_as_weights_only(tmp_path: Path) -> None:
    """Its configs are told from shapes alone, so it has Stable Diffusion's own groups and heads."""
    unet = UNet2DConditionModel(block_out_channels=(32, 32, 64, 64), cross_attention_dim=64, attention_head_dim=8)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(32, 32),
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=1)
    )
    tensors = with_prefix(ldm.UNET, ldm.unet_to_ldm(unet.state_dict(), unet.config))
    tensors |= with_prefix(ldm.VAE, ldm.vae_to_ldm(vae.state_dict(), vae.config))
    tensors |= with_prefix("cond_stage_model.transformer.text_model.", ldm.text_from_clip(text_encoder.state_dict()))
    tensors["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    tensors["model_ema.decay"] = torch.tensor(1.0)
    torch.save({"state_dict": tensors, "global_step": 3}, tmp_path / "model.ckpt")
    family = load_family(ModelConfig(pretrained_model_name_or_path=str(tmp_path / "model.ckpt")), PrecisionConfig())
    for ours, theirs in zip(family.networks, (unet, text_encoder, vae), strict=True):
        assert all(torch.equal(ours.state_dict()[key], value) for key, value in theirs.state_dict().items())
    noisy, t = torch.randn(1, 4, 8, 8), torch.tensor([7])
    condition = family.condition(["a cat"])
    assert torch.equal(
        family.predict(noisy, t, condition), unet.eval()(noisy, t, encoder_hidden_states=condition.text_BTC).sample
    )


class Evil:
    def __reduce__(self) -> tuple:
        return (print, ("code ran",))


def test_a_pickle_with_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    torch.save({"state_dict": Evil()}, tmp_path / "model.ckpt")
    with pytest.raises(
        UserError,
        match="model.ckpt holds more than weights, which could run code here, so it is not opened; "
        "get it as .safetensors.",
    ):
        load_family(ModelConfig(pretrained_model_name_or_path=str(tmp_path / "model.ckpt")), PrecisionConfig())
    assert capsys.readouterr().out == ""


def test_configs_of_full_size_models_are_told_from_shapes() -> None:
    """Stable Diffusion 1.5's and 2.1's own configs, as their diffusers folders have them."""
    for family, context, heads, linear in (("sd1", 768, 8, False), ("sd2", 1024, [5, 10, 20, 20], True)):
        with torch.device("meta"):
            unet = UNet2DConditionModel(
                cross_attention_dim=context,
                attention_head_dim=heads,
                use_linear_projection=linear,
                sample_size=64 if family == "sd1" else 96,
            )
            vae = AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                block_out_channels=(128, 256, 512, 512),
                layers_per_block=2,
                sample_size=512,
            )
        shapes = {key: tuple(value.shape) for key, value in ldm.unet_to_ldm(unet.state_dict(), unet.config).items()}
        told = configs.unet_config(shapes, family)
        assert {key: _plain(unet.config[key]) for key in told} == told
        with torch.device("meta"):
            vae_shapes = {
                key: tuple(value.shape) for key, value in ldm.vae_to_ldm(vae.state_dict(), vae.config).items()
            }
        told = configs.vae_config(vae_shapes)
        assert {key: _plain(vae.config[key]) for key in told} == told


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def test_openclip_without_its_last_block_there_and_back(tiny_sd2: Path) -> None:
    text_encoder = CLIPTextModel.from_pretrained(tiny_sd2 / "text_encoder")
    ours = ldm.text_from_clip(text_encoder.state_dict())
    theirs = ldm.text_to_openclip(ours, 3, 1)
    assert "transformer.resblocks.3.mlp.c_fc.weight" in theirs
    assert "transformer.resblocks.4.mlp.c_fc.weight" not in theirs
    back = ldm.text_from_openclip(theirs, 3)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[key], value) for key, value in ours.items())
    told = configs.openclip_config({key: tuple(value.shape) for key, value in theirs.items()})
    assert (told["num_hidden_layers"], told["hidden_size"], told["intermediate_size"], told["hidden_act"]) == (
        3,
        16,
        32,
        "gelu",
    )
