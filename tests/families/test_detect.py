"""What a file or folder is, and the sentence for what is none. Each is told within a second."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sd_scripts.config.model import ModelConfig
from sd_scripts.config.precision import PrecisionConfig
from sd_scripts.errors import UserError
from sd_scripts.families import load_family, sources
from sd_scripts.families.detect import Detected, detect, reads_as_path


def tensors_file(path: Path, *names: str) -> Path:
    save_file({name: torch.zeros(1) for name in names}, path)
    return path


def test_folders(tiny_model: Path, tiny_sd2: Path, tiny_sdxl: Path) -> None:
    assert detect(tiny_model) == Detected("sd1", "diffusers", "epsilon")
    assert detect(tiny_sd2) == Detected("sd2", "diffusers", "v_prediction")
    assert detect(tiny_sdxl) == Detected("sdxl", "diffusers", "epsilon")


@pytest.mark.parametrize(
    ("text_encoder", "family"),
    [
        ("cond_stage_model.transformer.x", "sd1"),
        ("cond_stage_model.model.x", "sd2"),
        ("conditioner.embedders.0.transformer.x", "sdxl"),
    ],
)
def test_original_files_are_told_by_their_text_encoder(tmp_path: Path, text_encoder: str, family: str) -> None:
    file = tensors_file(tmp_path / "m.safetensors", "model.diffusion_model.out.2.weight", text_encoder)
    assert detect(file) == Detected(family, "original")


def test_detecting_needs_no_torch(tmp_path: Path) -> None:
    code = "import sys; from sd_scripts.families import detect; assert not {'torch', 'diffusers'} & set(sys.modules)"
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    )


@pytest.mark.parametrize(
    ("name", "is_path"),
    [
        ("owner/name", False),
        ("stable-diffusion-v1-5/stable-diffusion-v1-5", False),
        ("runwayml/stable.diffusion", False),
        ("/models/a", True),
        ("./a", True),
        ("~/a", True),
        ("C:\\models\\a", True),
        ("a.safetensors", True),
        ("models/v1/a.ckpt", True),
        ("models/a/b", True),
        ("just a name", True),
    ],
)
def test_paths_and_hub_ids(name: str, is_path: bool) -> None:
    assert reads_as_path(name) == is_path


def sentence_of(name: object, **settings: object) -> str:
    with pytest.raises(UserError) as caught:
        load_family(ModelConfig(pretrained_model_name_or_path=str(name), **settings), PrecisionConfig())
    return str(caught.value)


def test_a_missing_file() -> None:
    expected = (
        "pretrained_model_name_or_path: There is no file or folder /no/model.safetensors; check its spelling, "
        "or give a Hugging Face ID like owner/name."
    )
    assert sentence_of("/no/model.safetensors") == expected


def test_an_unreachable_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError

    monkeypatch.setattr("huggingface_hub.HfApi.repo_info", unreachable)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    expected = (
        "pretrained_model_name_or_path: The Hugging Face hub can't be reached to fetch owner/none-such; "
        "name a file or folder on this machine."
    )
    assert sentence_of("owner/none-such") == expected


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("no model at all, but a text that is long enough")
    assert (
        sentence_of(tmp_path / "text.safetensors")
        == f"{tmp_path}/text.safetensors is not a safetensors file, or its download was cut off; get it again."
    )
    (tmp_path / "picture.png").write_bytes(b"x")
    assert (
        sentence_of(tmp_path / "picture.png")
        == f"{tmp_path}/picture.png is not a model: model files end in .safetensors or .ckpt."
    )
    (tmp_path / "model.ckpt").write_bytes(b"garbage")
    assert sentence_of(tmp_path / "model.ckpt").startswith(f"{tmp_path}/model.ckpt ")


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    file = tensors_file(tmp_path / "m.safetensors", "model.diffusion_model.a", "cond_stage_model.transformer.b")
    file.write_bytes(file.read_bytes()[:-3])
    assert "is cut off" in sentence_of(file)


def test_a_header_of_impossible_size(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    assert "is not a safetensors file" in sentence_of(tmp_path / "m.safetensors")


def test_a_network_given_as_the_model(tmp_path: Path) -> None:
    file = tensors_file(tmp_path / "lora.safetensors", "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight")
    assert (
        sentence_of(file)
        == f"{file} is a network (LoRA), not a base model; give it as network_weights or base_weights."
    )


def test_an_original_file_with_tensors_missing(tmp_path: Path) -> None:
    file = tensors_file(
        tmp_path / "m.safetensors", "model.diffusion_model.out.2.weight", "cond_stage_model.transformer.x"
    )
    assert "is not a complete Stable Diffusion model" in sentence_of(file)


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    assert (
        sentence_of(tmp_path)
        == f"{tmp_path} is not a model: a diffusers folder has unet/config.json, vae/ and text_encoder/ in it."
    )


def test_a_folder_without_weights(tiny_model: Path, tmp_path: Path) -> None:
    for part in ("unet", "vae", "text_encoder"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_bytes((tiny_model / part / "config.json").read_bytes())
    assert sentence_of(tmp_path).startswith(f"{tmp_path}/unet can't be loaded as a model (")


@pytest.mark.parametrize(
    ("model", "settings", "sentence"),
    [
        ("sd2", {}, "v2: {} is a Stable Diffusion 2.x model; turn v2 on."),
        ("sd1", {"v2": True}, "v2: {} is a Stable Diffusion 1.x model; turn v2 off."),
        ("sdxl", {}, "sdxl: {} is a Stable Diffusion XL model; turn sdxl on."),
        ("sd1", {"sdxl": True}, "sdxl: {} is a Stable Diffusion 1.x model; turn sdxl off."),
        ("sd2", {"sdxl": True}, "sdxl: {} is a Stable Diffusion 2.x model; turn sdxl off and turn v2 on."),
        ("sdxl", {"v2": True}, "v2: {} is a Stable Diffusion XL model; turn v2 off and turn sdxl on."),
    ],
)
def test_a_model_of_another_family(
    model: str, settings: dict, sentence: str, tiny_model: Path, tiny_sd2: Path, tiny_sdxl: Path
) -> None:
    folder = {"sd1": tiny_model, "sd2": tiny_sd2, "sdxl": tiny_sdxl}[model]
    assert sentence_of(folder, **settings) == sentence.format(folder)


def test_the_refiner_is_refused(tiny_sdxl: Path, tmp_path: Path) -> None:
    sentence = "{} is the refiner of Stable Diffusion XL, which can't be trained here; give the base model."
    file = tensors_file(tmp_path / "r.safetensors", "model.diffusion_model.x", "conditioner.embedders.0.model.y")
    assert sentence_of(file, sdxl=True) == sentence.format(file)
    folder = tmp_path / "refiner"
    for part in ("unet", "text_encoder_2"):
        (folder / part).mkdir(parents=True)
        (folder / part / "config.json").write_bytes((tiny_sdxl / part / "config.json").read_bytes())
    assert sentence_of(folder, sdxl=True) == sentence.format(folder)


def test_a_clip_skip_past_the_first_layer(tiny_model: Path) -> None:
    assert (
        sentence_of(tiny_model, clip_skip=5)
        == "clip_skip: It is 5, but the model's text encoder has 2 layers; set at most 2."
    )


def test_a_vae_that_is_none(tiny_model: Path, tmp_path: Path) -> None:
    file = tensors_file(tmp_path / "v.safetensors", "something")
    assert (
        sentence_of(tiny_model, vae=str(file))
        == f"vae: {file} holds no VAE; give a VAE's file or folder, or leave it empty for the model's own."
    )
    assert sentence_of(tiny_model, vae="/no/vae.pt").startswith("vae: There is no file or folder /no/vae.pt;")


REPOSITORY = [
    ".gitattributes",
    "README.md",
    "model_index.json",
    "v1-5.ckpt",
    "v1-5.safetensors",
    "scheduler/scheduler_config.json",
    "tokenizer/vocab.json",
    "tokenizer/merges.txt",
    "unet/config.json",
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.safetensors",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "text_encoder/config.json",
    "text_encoder/pytorch_model.bin",
    "text_encoder/model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.bin",
    "safety_checker/model.safetensors",
]


def test_what_is_fetched_from_a_repository() -> None:
    """Not the pickles beside safetensors, not the other precisions, not the checker: 4 GB in place of 30."""
    assert sorted(sources.wanted_files(REPOSITORY, sources.PARTS)) == [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "tokenizer/vocab.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.bin",
    ]
    assert sources.wanted_files(["README.md", "model.safetensors"], sources.PARTS) == []
    vae = ["config.json", "diffusion_pytorch_model.bin", "diffusion_pytorch_model.safetensors", "README.md"]
    assert sorted(sources.wanted_files(vae, ())) == ["config.json", "diffusion_pytorch_model.safetensors"]


def test_a_header_is_read_without_the_tensors(tmp_path: Path) -> None:
    header = json.dumps(
        {
            "model.diffusion_model.a": {"dtype": "F16", "shape": [1], "data_offsets": [0, 1 << 33]},
            "cond_stage_model.model.b": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]},
        }
    ).encode()
    with (tmp_path / "big.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + (1 << 33))
    assert detect(tmp_path / "big.safetensors").family == "sd2"
