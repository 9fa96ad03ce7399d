"""Whole models on disk: one file in the original layout, or a folder in diffusers' layout.

Everything is written beside its place and renamed when it is complete. Tensors are brought to the dtype of the file one
by one, so that no second model has to fit into memory (only a .ckpt, which is pickled, takes them all at once).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..adapters.io import DTYPES, saved
from ..errors import UserError
from ..whole import whole_folder
from .tensor_file import Entry, write

if TYPE_CHECKING:
    from .base import ModelFamily

Tensors = Mapping[str, Tensor]
KEY = "output_dir"
SIGN = "model_index.json"
"""The file by which a folder is known to be a diffusers model."""


def save_model(
    family: ModelFamily,
    path: Path,
    layout: str,
    precision: str | None,
    metadata: Mapping[str, str],
    schedule: Mapping[str, Any] | None = None,
) -> None:
    """Writes the model as it is now.

    layout: safetensors, ckpt, diffusers or diffusers_safetensors. precision: float, fp16 or bf16, None for the dtype
    that each tensor has. metadata: texts for the header of a safetensors file. schedule: settings of the noise schedule
    that differ from the family's. Raises UserError where the place can't be written.
    """
    check_place(path, layout)
    if layout.startswith("diffusers"):
        _save_folder(family, path, precision, schedule or {}, pickled=layout == "diffusers")
    else:
        tensors = family.original_tensors() | family.marks(schedule or {})
        _save_file(path, tensors, precision, {**metadata, **family.noted_configs()})


def check_place(path: Path, layout: str) -> None:
    """Raises UserError where something is in the way that is not an older model, and would be lost."""
    if layout.startswith("diffusers"):
        is_free = not path.exists() or (path / SIGN).is_file() or (path.is_dir() and not any(path.iterdir()))
        what = "holds something other than a model"
    else:
        is_free, what = not path.is_dir(), "is a folder"
    if not is_free:
        raise UserError(f"output_name: {path} {what}, which saving would replace; choose another name or folder.")


def size_of(family: ModelFamily, precision: str | None) -> int:
    """About how many bytes the saved model has."""
    entries = (Entry.of(t).saved_as(precision) for network in family.networks for t in network.state_dict().values())
    return sum(entry.size for entry in entries)


def _save_file(path: Path, tensors: Tensors, precision: str | None, metadata: Mapping[str, str]) -> None:
    if path.suffix == ".safetensors":
        _write_tensors(path, tensors, precision, metadata)
        return
    content = {
        "state_dict": _cast(tensors, precision),
        "epoch": int(metadata.get("ss_epoch", 0)),
        "global_step": int(metadata.get("ss_steps", 0)),
        **metadata,
    }
    with saved(path) as new:
        torch.save(content, new)


def _write_tensors(path: Path, tensors: Tensors, precision: str | None, metadata: Mapping[str, str]) -> None:
    entries = {name: Entry.of(tensor).saved_as(precision) for name, tensor in tensors.items()}
    write(path, entries, tensors.__getitem__, metadata, KEY)


def _cast(tensors: Tensors, precision: str | None) -> dict[str, Tensor]:
    dtype = DTYPES.get(precision or "")
    return {
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None).contiguous()
        for name, tensor in tensors.items()
    }


def _save_folder(
    family: ModelFamily, path: Path, precision: str | None, schedule: Mapping[str, Any], pickled: bool
) -> None:
    pipeline = family.pipeline(_scheduler(family, schedule))
    with whole_folder(path) as new:
        for name, part in pipeline.components.items():
            if isinstance(part, nn.Module):
                _save_network(part, new / name, precision, pickled)
            elif part is not None:
                part.save_pretrained(new / name)
        pipeline.save_config(new)


def _scheduler(family: ModelFamily, schedule: Mapping[str, Any]) -> Any:
    """As Stable Diffusion was published, with what its makers call DDIM."""
    from diffusers import DDIMScheduler

    settings = {**family.noise_schedule, "prediction_type": family.prediction_type, **schedule}
    return DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1, **settings)


def _save_network(network: Any, folder: Path, precision: str | None, pickled: bool) -> None:
    folder.mkdir()
    is_transformers = hasattr(network.config, "to_diff_dict")
    (folder / "config.json").write_text(json.dumps(_config(network, is_transformers), indent=2), encoding="utf-8")
    tensors = _named(network)
    stem = "pytorch_model" if is_transformers else "diffusion_pytorch_model"
    if pickled:
        with saved(folder / f"{stem}.bin") as new:
            torch.save(_cast(tensors, precision), new)
    else:
        stem = "model" if is_transformers else stem
        _write_tensors(folder / f"{stem}.safetensors", tensors, precision, {"format": "pt"})


def _config(network: Any, is_transformers: bool) -> dict[str, Any]:
    """Without the place it was loaded from."""
    if is_transformers:
        config = {**network.config.to_diff_dict(), "architectures": [type(network).__name__]}
    else:
        config = json.loads(network.to_json_string())
    return {key: value for key, value in sorted(config.items()) if key != "_name_or_path"}


def _named(network: nn.Module) -> Tensors:
    """Newer versions of transformers dropped a level of CLIP's names that all programs still read."""
    tensors = network.state_dict()
    return {f"text_model.{name}": value for name, value in tensors.items()} if _lost_a_level(tensors) else tensors


def _lost_a_level(names: Iterable[str]) -> bool:
    return any(name.startswith("embeddings.token_embedding.") for name in names)
