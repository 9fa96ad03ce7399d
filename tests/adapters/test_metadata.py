"""The fields in the file: their names against the reference's list, their texts against values written by hand."""

from __future__ import annotations

import hashlib
import json
import struct
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sd_scripts.adapters import hashes, metadata, modelspec
from sd_scripts.adapters.facts import DatasetFacts, SubsetFacts, TrainingFacts, commit_of
from sd_scripts.config.load import from_flat, to_flat
from sd_scripts.errors import UserError

ALWAYS = """session_id training_started_at training_finished_at output_name learning_rate text_encoder_lr unet_lr
num_train_images num_validation_images num_reg_images num_batches_per_epoch num_epochs epoch steps
gradient_checkpointing gradient_accumulation_steps max_train_steps lr_warmup_steps lr_scheduler network_module
network_dim network_alpha network_dropout network_args mixed_precision full_fp16 v2 base_model_version
clip_skip max_token_length cache_latents seed lowram noise_offset multires_noise_iterations
multires_noise_discount adaptive_noise_scale zero_terminal_snr training_comment sd_scripts_commit_hash
optimizer max_grad_norm caption_dropout_rate caption_dropout_every_n_epochs caption_tag_dropout_rate
face_crop_aug_range prior_loss_weight min_snr_gamma scale_weight_norms ip_noise_gamma debiased_estimation
noise_offset_random_strength ip_noise_gamma_random_strength loss_type huber_schedule huber_scale huber_c
fp8_base fp8_base_unet validation_seed validation_split max_validation_steps validate_every_n_epochs
validate_every_n_steps resize_interpolation sd_model_name""".split()
OF_FILES = "sd_model_hash new_sd_model_hash vae_name vae_hash new_vae_hash".split()
OF_FOLDERS = """batch_size_per_device total_batch_size resolution color_aug flip_aug random_crop shuffle_caption
enable_bucket bucket_no_upscale min_bucket_reso max_bucket_reso keep_tokens dataset_dirs reg_dataset_dirs tag_frequency
bucket_info""".split()
OF_CONFIG = "datasets tag_frequency dataset_dirs".split()

DATASET = DatasetFacts(
    resolution=(512, 512),
    batch_size=2,
    subsets=(SubsetFacts("10_cat", 5, 10, class_tokens="cat"), SubsetFacts("1_animal", 7, 1, is_reg=True)),
    tag_frequency={"10_cat": {"cat": 5, "red": 1}},
    bucket_counts={(512, 512): 40, (448, 576): 10},
    mean_aspect_error=0.0125,
)
FACTS = TrainingFacts(
    session_id=7, started_at=100.5, seed=42, num_train_images=50, num_reg_images=7, num_batches_per_epoch=29,
    num_epochs=3, total_steps=87, processes=2, optimizer="torch.optim.adamw.AdamW(weight_decay=0.1)", commit="abc",
    datasets=(DATASET,),
)  # fmt: skip


def build(facts: TrainingFacts = FACTS, **flat: Any) -> dict[str, str]:
    config = from_flat({"output_name": "cat", **flat}).unwrap()
    return metadata.build(to_flat(config, all=True), facts, config.network, epoch=2, step=58, saved_at=200.5)


def with_ss(names: list[str]) -> set[str]:
    return {f"ss_{name}" for name in names}


def test_the_fields_are_those_of_the_reference() -> None:
    assert set(build()) == with_ss([*ALWAYS, *OF_FOLDERS])


def test_the_fields_with_a_dataset_config() -> None:
    assert set(build(TrainingFacts(datasets=(DATASET,), from_dataset_config=True))) == with_ss([*ALWAYS, *OF_CONFIG])


def test_the_fields_of_model_files(tmp_path: Path) -> None:
    content = bytes(range(256)) * 8192
    for name in ("model.safetensors", "vae.pt"):
        (tmp_path / name).write_bytes(content)
    found = build(pretrained_model_name_or_path=str(tmp_path / "model.safetensors"), vae=str(tmp_path / "vae.pt"))
    assert set(found) == with_ss([*ALWAYS, *OF_FOLDERS, *OF_FILES])
    assert (found["ss_sd_model_name"], found["ss_vae_name"]) == ("model.safetensors", "vae.pt")
    assert found["ss_new_sd_model_hash"] == hashlib.sha256(content).hexdigest() == found["ss_new_vae_hash"]
    assert (
        found["ss_sd_model_hash"] == hashlib.sha256(content[0x100000:0x110000]).hexdigest()[:8] == found["ss_vae_hash"]
    )


@pytest.mark.parametrize(
    ("flat", "name", "text"),
    [
        ({}, "session_id", "7"),
        ({}, "training_started_at", "100.5"),
        ({}, "training_finished_at", "200.5"),
        ({}, "output_name", "cat"),
        ({}, "seed", "42"),
        ({}, "epoch", "2"),
        ({}, "steps", "58"),
        ({}, "max_train_steps", "87"),
        ({}, "num_train_images", "50"),
        ({}, "optimizer", "torch.optim.adamw.AdamW(weight_decay=0.1)"),
        ({"learning_rate": 1e-4}, "learning_rate", "0.0001"),
        ({}, "unet_lr", "None"),
        ({"unet_lr": 0}, "unet_lr", "0.0"),
        ({}, "text_encoder_lr", "None"),
        ({"text_encoder_lr": [5e-5]}, "text_encoder_lr", "[5e-05]"),
        ({"network_dim": 16}, "network_dim", "16"),
        ({"network_alpha": 8}, "network_alpha", "8.0"),
        ({}, "network_dropout", "None"),
        ({"network_dropout": 0.1}, "network_dropout", "0.1"),
        ({}, "network_module", "networks.lora"),
        ({"network_module": "sd_scripts.networks.lora"}, "network_module", "networks.lora"),
        ({}, "network_args", "{}"),
        (
            {"conv_dim": 8, "network_args": ["rank_dropout=0.1"]},
            "network_args",
            '{"conv_dim": "8", "rank_dropout": "0.1"}',
        ),
        ({}, "base_model_version", "sd_v1"),
        ({"v2": True}, "base_model_version", "sd_v2"),
        ({"v2": True, "v_parameterization": True}, "base_model_version", "sd_v2_v"),
        ({}, "v2", "False"),
        ({}, "max_token_length", "None"),
        ({"max_token_length": 225}, "max_token_length", "225"),
        ({}, "scale_weight_norms", "None"),
        ({}, "min_snr_gamma", "None"),
        ({"min_snr_gamma": 5}, "min_snr_gamma", "5.0"),
        ({}, "batch_size_per_device", "2"),
        ({}, "total_batch_size", "4"),
        ({}, "resolution", "(512, 512)"),
        ({}, "dataset_dirs", '{"10_cat": {"n_repeats": 10, "img_count": 5}}'),
        ({}, "reg_dataset_dirs", '{"1_animal": {"n_repeats": 1, "img_count": 7}}'),
        ({}, "tag_frequency", '{"10_cat": {"cat": 5, "red": 1}}'),
        (
            {},
            "bucket_info",
            '{"buckets": {"0": {"resolution": [512, 512], "count": 40}, "1": {"resolution": [448, 576], "count": 10}}, '
            '"mean_img_ar_error": 0.0125}',
        ),
        ({"pretrained_model_name_or_path": "owner/name"}, "sd_model_name", "owner/name"),
    ],
)
def test_texts(flat: dict[str, Any], name: str, text: str) -> None:
    assert build(**flat)[f"ss_{name}"] == text


def test_data_sets_of_a_config() -> None:
    found = build(TrainingFacts(datasets=(DATASET, DATASET), from_dataset_config=True))
    one, two = json.loads(found["ss_datasets"])
    assert one == two
    assert (one["is_dreambooth"], one["resolution"], one["batch_size_per_device"]) == (True, [512, 512], 2)
    assert [subset["image_dir"] for subset in one["subsets"]] == ["10_cat", "1_animal"]
    assert [subset["is_reg"] for subset in one["subsets"]] == [False, True]


def test_without_metadata_what_programs_need_stays() -> None:
    assert set(metadata.minimum(build())) == with_ss(
        ["v2", "base_model_version", "network_module", "network_dim", "network_alpha", "network_args"]
    )


def spec(family: str = "sd1", resolution: tuple[int, int] | None = None, **settings: Any) -> dict[str, str]:
    return modelspec.fields(settings, family, resolution, 1_700_000_000.9, "version")


def test_modelspec_of_a_plain_lora() -> None:
    assert spec(output_name="cat", resolution=(640, 512)) == {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.title": "cat",
        "modelspec.date": datetime.fromtimestamp(1_700_000_000).isoformat(),
        "modelspec.resolution": "640x512",
        "modelspec.prediction_type": "epsilon",
        "modelspec.implementation_version": "version",
    }


@pytest.mark.parametrize(
    ("arguments", "field", "text"),
    [
        ({"family": "sd2"}, "architecture", "stable-diffusion-v2-512/lora"),
        ({"family": "sd2", "v_parameterization": True}, "architecture", "stable-diffusion-v2-768-v/lora"),
        ({"family": "sd2", "v_parameterization": True}, "resolution", "768x768"),
        ({"v_parameterization": True}, "prediction_type", "v"),
        ({"v_parameterization": True}, "architecture", "stable-diffusion-v1/lora"),
        ({"metadata_title": "A cat", "output_name": "cat"}, "title", "A cat"),
        ({"metadata_author": "me"}, "author", "me"),
        ({"metadata_trigger_phrase": "sks"}, "trigger_phrase", "sks"),
        ({"min_timestep": 100, "max_timestep": 1000}, "timestep_range", "100,1000"),
        ({"min_timestep": None, "max_timestep": 500}, "timestep_range", "0,500"),
        ({"clip_skip": 2}, "encoder_layer", "2"),
        ({"metadata_thumbnail": "data:image/png;base64,AA=="}, "thumbnail", "data:image/png;base64,AA=="),
    ],
)
def test_modelspec_texts(arguments: dict[str, Any], field: str, text: str) -> None:
    assert spec(**arguments)[f"modelspec.{field}"] == text


def test_a_thumbnail_file_is_put_in(tmp_path: Path) -> None:
    (tmp_path / "t.jpg").write_bytes(b"abc")
    assert spec(metadata_thumbnail=str(tmp_path / "t.jpg"))["modelspec.thumbnail"] == "data:image/jpeg;base64,YWJj"
    with pytest.raises(
        UserError, match=r"metadata_thumbnail: /no/t.png can't be read; give an image file or a data URL."
    ):
        spec(metadata_thumbnail="/no/t.png")


def test_hashes_of_the_tensors(tmp_path: Path) -> None:
    """That of what follows the header does not depend on the metadata; the old one is of an empty text under 1 MiB."""
    tensors = {"lora_a.alpha": torch.tensor(1.0), "lora_a.lora_down.weight": torch.arange(12.0).reshape(3, 4)}
    found = hashes.tensor_hashes(tensors, {"ss_a": "1", "other": "2"})
    save_file(tensors, tmp_path / "a.safetensors", metadata={"anything": "else"})
    content = (tmp_path / "a.safetensors").read_bytes()
    start = 8 + struct.unpack("<Q", content[:8])[0]
    assert found == {"sshs_model_hash": hashlib.sha256(content[start:]).hexdigest(), "sshs_legacy_hash": "e3b0c442"}


def test_the_old_hash_of_a_larger_file(tmp_path: Path) -> None:
    tensors = {"lora_a.lora_down.weight": torch.arange(600_000, dtype=torch.float32)}
    save_file(tensors, tmp_path / "a.safetensors", metadata={"ss_a": "1"})
    content = (tmp_path / "a.safetensors").read_bytes()
    found = hashes.tensor_hashes(tensors, {"ss_a": "1", "modelspec.title": "left out"})
    assert found["sshs_legacy_hash"] == hashlib.sha256(content[0x100000:0x110000]).hexdigest()[:8]


def test_the_commit_of_a_clone(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == "(unknown)"
    (tmp_path / ".git" / "refs" / "heads").mkdir(parents=True)
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (tmp_path / ".git" / "refs" / "heads" / "main").write_text("abc123\n")
    assert commit_of(tmp_path) == "abc123"
    (tmp_path / ".git" / "HEAD").write_text("def456\n")
    assert commit_of(tmp_path) == "def456"
