"""How an adapter was trained, as sd-scripts writes it into the file: `ss_` fields, all of them texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..config.network import NetworkConfig
from ..config.network_args import FLAGS
from .facts import DatasetFacts, SubsetFacts, TrainingFacts
from .hashes import file_hashes

FROM_SETTINGS = (
    "output_name", "learning_rate", "text_encoder_lr", "unet_lr", "gradient_checkpointing",
    "gradient_accumulation_steps", "lr_warmup_steps", "lr_scheduler", "network_module", "network_dim",
    "network_alpha", "network_dropout", "mixed_precision", "full_fp16", "v2", "clip_skip", "max_token_length",
    "cache_latents", "lowram", "noise_offset", "multires_noise_iterations", "multires_noise_discount",
    "adaptive_noise_scale", "zero_terminal_snr", "training_comment", "max_grad_norm", "caption_dropout_rate",
    "caption_dropout_every_n_epochs", "caption_tag_dropout_rate", "face_crop_aug_range", "prior_loss_weight",
    "min_snr_gamma", "scale_weight_norms", "ip_noise_gamma", "noise_offset_random_strength",
    "ip_noise_gamma_random_strength", "loss_type", "huber_schedule", "huber_scale", "huber_c", "fp8_base",
    "fp8_base_unet", "validation_seed", "validation_split", "max_validation_steps", "validate_every_n_epochs",
    "validate_every_n_steps", "resize_interpolation",
)  # fmt: skip
"""Fields that are named and filled as the setting is."""

NONE_WHEN_OFF = {
    "network_dropout", "noise_offset", "multires_noise_iterations", "adaptive_noise_scale", "min_snr_gamma",
    "scale_weight_norms", "ip_noise_gamma", "max_validation_steps", "validate_every_n_epochs",
    "validate_every_n_steps",
}  # fmt: skip
"""Settings that are off at 0 here and at None there, where readers look for None."""

MINIMUM = (
    "ss_v2",
    "ss_base_model_version",
    "ss_network_module",
    "ss_network_dim",
    "ss_network_alpha",
    "ss_network_args",
)
"""What `no_metadata` leaves: programs need it to use the file."""

DATASET_SETTINGS = ("enable_bucket", "min_bucket_reso", "max_bucket_reso")
SUBSET_SETTINGS = (
    "color_aug", "flip_aug", "random_crop", "shuffle_caption", "keep_tokens", "keep_tokens_separator",
    "secondary_separator", "enable_wildcard", "caption_prefix", "caption_suffix", "resize_interpolation",
)  # fmt: skip
VERSIONS = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0"}


def build(
    settings: Mapping[str, Any],
    facts: TrainingFacts,
    network: NetworkConfig | None,
    *,
    epoch: int,
    step: int,
    saved_at: float,
) -> dict[str, str]:
    """Every field. settings: all settings, flat, without secrets. network: None where something else was trained."""
    found = {name: _off_is_none(name, settings.get(name)) for name in FROM_SETTINGS}
    found |= _network(network) if network else {}
    found |= _counts(facts) | {
        "training_finished_at": saved_at,
        "epoch": epoch,
        "steps": step,
        "base_model_version": base_model_version(settings),
        "debiased_estimation": bool(settings.get("debiased_estimation_loss")),
        "huber_scale": settings.get("huber_scale"),
        **model_names("sd_model", settings.get("pretrained_model_name_or_path")),
        **model_names("vae", settings.get("vae")),
        **(_of_dataset_config(facts.datasets) if facts.from_dataset_config else _of_folders(facts, settings)),
    }
    left = {name: value for name, value in found.items() if network or not name.startswith("network_")}
    return {f"ss_{name}": as_text(value) for name, value in left.items()}


def _network(network: NetworkConfig) -> dict[str, object]:
    module = network.network_module.strip().removeprefix("sd_scripts.")
    return {"network_module": module, "network_args": json.dumps(network_args(network))}


def minimum(metadata: Mapping[str, str]) -> dict[str, str]:
    return {key: metadata[key] for key in MINIMUM if key in metadata}


def as_text(value: object) -> str:
    """As Python writes it: None, True, 0.1, [1, 2]."""
    return str(list(value) if isinstance(value, tuple) and value and not isinstance(value[0], int) else value)


def _off_is_none(name: str, value: object) -> object:
    return None if value in ((), []) or (name in NONE_WHEN_OFF and not value) else value


def base_model_version(settings: Mapping[str, Any]) -> str:
    family = "sdxl" if settings.get("sdxl") else "sd2" if settings.get("v2") else "sd1"
    return VERSIONS[family] + ("_v" if family == "sd2" and settings.get("v_parameterization") else "")


def network_args(network: NetworkConfig) -> dict[str, str]:
    """What `network_args` would have to hold for this network, wherever it was set."""
    changed = network.resolved().model_dump(exclude_defaults=True)
    return {key: _plain(value) for key, value in changed.items() if key not in FLAGS}


def _plain(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def model_names(name: str, path: str | None) -> dict[str, str]:
    """`sd_model_name`, and for a file its hashes. A folder has no hash; without a VAE there are no fields."""
    if not path:
        return {}
    file = Path(path).expanduser()
    if not file.is_file():
        return {f"{name}_name": file.name if file.exists() else path}
    short, whole = file_hashes(file.resolve())
    prefix = name.removesuffix("_name")
    return {f"{prefix}_name": file.name, f"{prefix}_hash": short, f"new_{prefix}_hash": whole}


def _counts(facts: TrainingFacts) -> dict[str, object]:
    return {
        "session_id": facts.session_id,
        "training_started_at": facts.started_at,
        "seed": facts.seed,
        "num_train_images": facts.num_train_images,
        "num_validation_images": facts.num_validation_images,
        "num_reg_images": facts.num_reg_images,
        "num_batches_per_epoch": facts.num_batches_per_epoch,
        "num_epochs": facts.num_epochs,
        "max_train_steps": facts.total_steps,
        "optimizer": facts.optimizer,
        "sd_scripts_commit_hash": facts.commit,
    }


def _of_folders(facts: TrainingFacts, settings: Mapping[str, Any]) -> dict[str, object]:
    """The data set's fields where it was given by folder names: one data set."""
    if not facts.datasets:
        return {}
    dataset = facts.datasets[0]
    names = (
        "color_aug",
        "flip_aug",
        "random_crop",
        "shuffle_caption",
        "enable_bucket",
        "bucket_no_upscale",
        "min_bucket_reso",
        "max_bucket_reso",
        "keep_tokens",
    )
    return {name: settings.get(name) for name in names} | {
        "batch_size_per_device": dataset.batch_size,
        "total_batch_size": dataset.batch_size
        * facts.processes
        * int(settings.get("gradient_accumulation_steps") or 1),
        "resolution": dataset.resolution,
        "dataset_dirs": json.dumps(_folders(s for s in dataset.subsets if not s.is_reg)),
        "reg_dataset_dirs": json.dumps(_folders(s for s in dataset.subsets if s.is_reg)),
        "tag_frequency": json.dumps(dataset.tag_frequency),
        "bucket_info": json.dumps(_buckets(dataset)),
    }


def _folders(subsets: Iterable[SubsetFacts]) -> dict[str, dict[str, int]]:
    return {subset.folder: {"n_repeats": subset.repeats, "img_count": subset.images} for subset in subsets}


def _buckets(dataset: DatasetFacts) -> dict[str, object]:
    buckets = {
        str(i): {"resolution": list(size), "count": count}
        for i, (size, count) in enumerate(dataset.bucket_counts.items())
    }
    return {"buckets": buckets, "mean_img_ar_error": dataset.mean_aspect_error}


def _of_dataset_config(datasets: Iterable[DatasetFacts]) -> dict[str, object]:
    datasets = tuple(datasets)
    tags: dict[str, Mapping[str, int]] = {}
    for dataset in datasets:
        tags |= dataset.tag_frequency
    return {
        "datasets": json.dumps([_dataset(dataset) for dataset in datasets]),
        "tag_frequency": json.dumps(tags),
        "dataset_dirs": json.dumps(_folders(subset for dataset in datasets for subset in dataset.subsets)),
    }


def _dataset(dataset: DatasetFacts) -> dict[str, object]:
    return {
        "is_dreambooth": all(subset.metadata_file is None for subset in dataset.subsets),
        "batch_size_per_device": dataset.batch_size,
        "num_train_images": dataset.train_images,
        "num_reg_images": dataset.reg_images,
        "resolution": dataset.resolution,
        **{name: dataset.settings.get(name) for name in DATASET_SETTINGS},
        "tag_frequency": dataset.tag_frequency,
        "bucket_info": _buckets(dataset),
        "subsets": [_subset(subset) for subset in dataset.subsets],
    }


def _subset(subset: SubsetFacts) -> dict[str, object]:
    of_kind = (
        {"metadata_file": subset.metadata_file}
        if subset.metadata_file
        else {"class_tokens": subset.class_tokens, "is_reg": subset.is_reg}
    )
    settings = {name: subset.settings.get(name) for name in SUBSET_SETTINGS}
    return {
        "img_count": subset.images,
        "num_repeats": subset.repeats,
        **settings,
        "image_dir": subset.folder,
        **of_kind,
    }
