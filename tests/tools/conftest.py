"""Small networks and models for the tools, and what networks do, computed apart from the code under test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from sd_scripts.tools import TOOLS
from sd_scripts.tools.tool import flags

LAYERS = {
    "lora_unet_down_blocks_0_attentions_0_proj_in": (8, 8, 1, 1),
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q": (8, 8),
    "lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_0_proj": (64, 8),
    "lora_unet_up_blocks_1_attentions_2_transformer_blocks_0_attn2_to_k": (8, 16),
    "lora_te_text_model_encoder_layers_1_mlp_fc1": (32, 16),
}
"""Layers of the tiny model, and the shapes of their weights."""
CONVOLUTIONS = {"lora_unet_down_blocks_0_resnets_0_conv1": (8, 8, 3, 3)}


def lora_tensors(layers: Mapping[str, tuple[int, ...]], rank: int, alpha: float | None, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, (outputs, *inside) in layers.items():
        tensors[f"{name}.lora_down.weight"] = torch.randn(rank, *inside, generator=generator)
        tensors[f"{name}.lora_up.weight"] = torch.randn(outputs, rank, *[1] * (len(inside) - 1), generator=generator)
        if alpha is not None:
            tensors[f"{name}.alpha"] = torch.tensor(float(alpha))
    return tensors


MakeLora = Callable[..., Path]


@pytest.fixture
def make_lora(tmp_path: Path) -> MakeLora:
    def make(
        name: str = "a", *, rank: int = 4, alpha: float | None = 2, seed: int = 0, layers: Mapping[str, tuple[int,
        ...]] = LAYERS,
        dtype: torch.dtype = torch.float32, metadata: Mapping[str, str] | None = None,
    ) -> Path:  # fmt: skip
        path = tmp_path / f"{name}.safetensors"
        tensors = {key: value.to(dtype) for key, value in lora_tensors(layers, rank, alpha, seed).items()}
        save_file(tensors, path, metadata=dict(metadata or {}))
        return path

    return make


def dense(path: Path) -> dict[str, np.ndarray]:
    """Layer -> what a LoRA file adds to its weight: up @ down * alpha / rank, in double precision with numpy."""
    tensors = {key: value.double().numpy() for key, value in load_file(path).items()}
    found = {}
    for key, down in tensors.items():
        name, _, rest = key.partition(".")
        if rest == "lora_down.weight":
            rank = down.shape[0]
            up = tensors[f"{name}.lora_up.weight"].reshape(-1, rank)
            found[name] = up @ down.reshape(rank, -1) * (float(tensors.get(f"{name}.alpha", rank)) / rank)
    return found


def summed(*parts: tuple[float, Path]) -> dict[str, np.ndarray]:
    total: dict[str, np.ndarray] = {}
    for ratio, path in parts:
        for name, delta in dense(path).items():
            total[name] = total.get(name, 0) + ratio * delta
    return total


def assert_same(found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray], tolerance: float = 1e-5) -> None:
    assert found.keys() == wanted.keys()
    for name, delta in wanted.items():
        np.testing.assert_allclose(found[name], delta, atol=tolerance * max(np.abs(delta).max(), 1e-9), err_msg=name)


@pytest.fixture(scope="session")
def original_file(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as one file in the original layout, in fp16."""
    from diffusers import StableDiffusionPipeline

    from sd_scripts.families.configs import note_configs
    from sd_scripts.families.names import ldm

    pipe = StableDiffusionPipeline.from_pretrained(tiny_model, local_files_only=True)
    text = ldm.text_from_clip(pipe.text_encoder.state_dict())
    tensors = {
        **{ldm.UNET + key: value for key, value in ldm.unet_to_ldm(pipe.unet.state_dict(), pipe.unet.config).items()},
        **{ldm.VAE + key: value for key, value in ldm.vae_to_ldm(pipe.vae.state_dict(), pipe.vae.config).items()},
        **{"cond_stage_model.transformer.text_model." + key: value for key, value in text.items()},
    }
    path = tmp_path_factory.mktemp("original") / "model.safetensors"
    noted = note_configs(unet=pipe.unet.config, vae=pipe.vae.config, text_encoder=pipe.text_encoder.config.to_dict())
    plain = {key: value.half().contiguous() for key, value in tensors.items()}
    save_file(plain, path, metadata={"format": "pt", "modelspec.hash_sha256": "0x1", **noted})
    return path


def run(tool: str, *argv: object) -> list[str]:
    said: list[str] = []
    settings, _ = TOOLS[tool].read(flags(TOOLS[tool], [str(word) for word in argv]))
    TOOLS[tool].run(settings, said.append)
    return said


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="np") as file:
        return dict(file.metadata())
