"""SDXL: two text encoders, what the network is told of sizes, pictures and files, held against diffusers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionXLPipeline

from sd_scripts.config.model import ModelConfig
from sd_scripts.config.precision import PrecisionConfig
from sd_scripts.families import load_family, text
from sd_scripts.families.latent_diffusion import LatentDiffusion
from sd_scripts.families.text import Reading

CAPTIONS = ["a red apple", "", " ".join(["pear"] * 90)]


def load(folder: Path, mixed_precision: str = "no", **model: Any) -> LatentDiffusion:
    settings = ModelConfig(pretrained_model_name_or_path=str(folder), sdxl=True, **model)
    return load_family(settings, PrecisionConfig(mixed_precision=mixed_precision))


@pytest.fixture(scope="module")
def family(tiny_sdxl: Path) -> LatentDiffusion:
    return load(tiny_sdxl)


@pytest.fixture(scope="module")
def pipeline(tiny_sdxl: Path) -> StableDiffusionXLPipeline:
    return StableDiffusionXLPipeline.from_pretrained(tiny_sdxl, local_files_only=True, add_watermarker=False)


@torch.no_grad()
def test_captions_are_read_as_the_pipeline_reads_prompts(
    family: LatentDiffusion, pipeline: StableDiffusionXLPipeline
) -> None:
    condition = family.condition(CAPTIONS)
    prompt, _, pooled, _ = pipeline.encode_prompt(CAPTIONS, do_classifier_free_guidance=False)
    assert condition.text_BTC.shape == (3, 77, 16 + 32)
    assert torch.allclose(condition.text_BTC, prompt, atol=1e-6)
    assert torch.allclose(condition.pooled_BD, pooled, atol=1e-6)


def test_clip_skip_changes_nothing(tiny_sdxl: Path, family: LatentDiffusion) -> None:
    assert torch.equal(load(tiny_sdxl, clip_skip=3).condition(CAPTIONS).text_BTC, family.condition(CAPTIONS).text_BTC)


def test_long_captions_are_summed_up_by_their_first_piece(tiny_sdxl: Path, family: LatentDiffusion) -> None:
    long = load(tiny_sdxl, max_token_length=225).condition(CAPTIONS)
    assert long.text_BTC.shape == (3, 227, 48)
    assert torch.allclose(long.pooled_BD, family.condition(CAPTIONS).pooled_BD, atol=1e-6)
    assert not torch.allclose(long.text_BTC[2, 76:], long.text_BTC[1, 76:])


def test_emphasis_is_for_tokens_and_not_for_the_sum(tiny_sdxl: Path, family: LatentDiffusion) -> None:
    weighted = load(tiny_sdxl, weighted_captions=True).condition(["a (red:1.5) apple"])
    plain = family.condition(["a red apple"])
    factors = torch.ones(77)
    factors[2] = 1.5
    assert torch.allclose(weighted.text_BTC, plain.text_BTC * factors[None, :, None], atol=1e-6)
    assert torch.equal(weighted.pooled_BD, plain.pooled_BD)


def test_words_that_were_added_do_not_end_a_caption(family: LatentDiffusion) -> None:
    """Their numbers are above that of the end token."""
    tokenizer, encoder = load_tokenizer(family), family.text_encoders[1]
    _, pooled = text.encode_and_sum_up(["apple sks"], tokenizer, encoder, Reading())
    with torch.no_grad():
        ids = tokenizer("apple sks", padding="max_length", max_length=77, return_tensors="pt").input_ids
        states = encoder.text_model(ids).last_hidden_state
        end = ids[0].tolist().index(tokenizer.eos_token_id)
        expected = encoder.text_projection(states[:, end])
    assert max(ids[0].tolist()) > tokenizer.eos_token_id
    assert torch.allclose(pooled, expected, atol=1e-6)


def load_tokenizer(family: LatentDiffusion) -> Any:
    import copy

    tokenizer = copy.deepcopy(family.tokenizers[1])
    tokenizer.add_tokens("sks")
    family.text_encoders[1].resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return tokenizer


@torch.no_grad()
def test_the_network_is_told_the_sizes_of_a_batch(family: LatentDiffusion) -> None:
    batch = SimpleNamespace(
        captions=CAPTIONS[:2], original_sizes_hw=[(40, 30), (16, 16)], crop_top_lefts=[(1, 2), (0, 0)],
        target_sizes_hw=[(16, 16), (16, 16)],
    )  # fmt: skip
    condition = family.condition(batch)
    assert condition.sizes_B6.tolist() == [[40, 30, 1, 2, 16, 16], [16, 16, 0, 0, 16, 16]]
    noisy_BCHW, t_B = torch.randn(2, 4, 8, 8), torch.tensor([3, 900])
    expected = family.unet(
        noisy_BCHW, t_B, encoder_hidden_states=condition.text_BTC,
        added_cond_kwargs={"text_embeds": condition.pooled_BD, "time_ids": condition.sizes_B6},
    ).sample  # fmt: skip
    assert torch.equal(family.predict(noisy_BCHW, t_B, condition), expected)
    plain = family.predict(noisy_BCHW, t_B, family.condition(CAPTIONS[:2]))
    assert torch.allclose(plain[1], expected[1], atol=1e-6), "a picture that was not cut"
    assert not torch.allclose(plain[0], expected[0])


def test_sizes_stay_exact_in_half_precision(tiny_sdxl: Path) -> None:
    """1023 is 1024 in bf16."""
    family = load(tiny_sdxl, "bf16")
    condition = family.condition(["x"])
    told = family.added_conditions(torch.zeros(1, 4, 8, 8), condition)
    assert (told["time_ids"].dtype, told["text_embeds"].dtype) == (torch.float32, torch.bfloat16)


def test_the_pipeline_draws_with_the_very_networks(
    family: LatentDiffusion, pipeline: StableDiffusionXLPipeline
) -> None:
    """And what it draws is what diffusers draws."""
    scheduler = DDIMScheduler(**family.noise_schedule, clip_sample=False)
    ours, pipeline.scheduler = family.pipeline(scheduler), scheduler
    assert (ours.unet, ours.vae) == (family.unet, family.vae)
    assert [ours.text_encoder, ours.text_encoder_2] == family.text_encoders
    drawn = []
    for pipe in (ours, pipeline):
        pipe.set_progress_bar_config(disable=True)
        drawn.append(
            pipe(
                "an apple", negative_prompt="pear", width=16, height=16, num_inference_steps=2, output_type="pt",
                generator=torch.Generator().manual_seed(3),
            ).images
        )  # fmt: skip
    assert torch.allclose(*drawn, atol=1e-5)


def test_the_vae_is_sdxls(family: LatentDiffusion, tiny_sdxl: Path) -> None:
    assert family.scaling_factor == 0.13025
    (notice,) = load(tiny_sdxl, "fp16").notices
    assert str(notice) == "no_half_vae: SDXL's own VAE goes wrong in fp16; turn this on if pictures come out black."
    whole = load(tiny_sdxl, "fp16", no_half_vae=True)
    assert (whole.vae.dtype, whole.notices) == (torch.float32, [])
