from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_sd2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder of SD 2.x's structure with random weights: OpenCLIP's activation, linear projections."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from sd_scripts.families.parts import own_tokenizer

    folder = tmp_path_factory.mktemp("sd2")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        unet = UNet2DConditionModel(
            sample_size=8, block_out_channels=(8, 8, 8, 8), norm_num_groups=4, cross_attention_dim=16,
            attention_head_dim=2, use_linear_projection=True,
        )  # fmt: skip
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(4, 8), layers_per_block=2, norm_num_groups=2, latent_channels=4, sample_size=16,
        )  # fmt: skip
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, projection_dim=16,
                bos_token_id=49406, eos_token_id=49407, pad_token_id=0, hidden_act="gelu",
            )
        )  # fmt: skip
    for name, network in (("unet", unet), ("vae", vae), ("text_encoder", text_encoder)):
        network.save_pretrained(folder / name)
    DDIMScheduler(beta_schedule="scaled_linear", prediction_type="v_prediction").save_pretrained(folder / "scheduler")
    own_tokenizer("sd2").save_pretrained(folder / "tokenizer")
    return folder
