"""What a model file or folder is, told from its header or its json files in milliseconds and without torch."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError

FILES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
LONGEST_HEADER = 100_000_000
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Detected:
    """family: "sd1", "sd2", "sdxl", or None where it can't be told. layout: "diffusers", "original" or "pickle"."""

    family: str | None
    layout: str
    prediction_type: str | None = None


def find(name: str, key: str = "pretrained_model_name_or_path") -> Path | None:
    """The file or folder that `name` is, or None where it reads as a hub ID.

    Raises UserError for something that reads as a path but is not there. `key` is the setting to name then.
    """
    for path in (Path(name).expanduser(), ROOT / name):
        if path.exists():
            return path
    if reads_as_path(name):
        raise UserError(
            f"{key}: There is no file or folder {name}; check its spelling, or give a Hugging Face ID like owner/name."
        )
    return None


def reads_as_path(name: str) -> bool:
    """`owner/name` is a hub ID; anything absolute, deeper, with a file's ending or a folder that exists is a path."""
    if name.startswith(("/", ".", "~")) or "\\" in name or name.endswith(FILES):
        return True
    parts = name.split("/")
    return len(parts) != 2 or Path(parts[0]).is_dir() or not all(re.fullmatch(r"[\w.-]+", part) for part in parts)


def read_header(path: Path) -> dict[str, Any]:
    """The header of a .safetensors file: tensor name -> {"dtype", "shape", ...}, and "__metadata__".

    Raises UserError where the file is not one, or only the beginning of one.
    """
    try:
        with path.open("rb") as file:
            size = struct.unpack("<Q", file.read(8))[0]
            header = json.loads(file.read(size)) if size <= LONGEST_HEADER else None
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror}); check that it is there and may be read.") from None
    except (struct.error, ValueError, MemoryError):
        header = None
    if not isinstance(header, dict):
        raise UserError(f"{path} is not a safetensors file, or its download was cut off; get it again.")
    longest = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    if path.stat().st_size < 8 + size + longest:
        raise UserError(
            f"{path} is cut off: {path.stat().st_size:,} of {8 + size + longest:,} bytes are there; get it again."
        )
    return header


def detect(path: Path) -> Detected:
    """What lies at `path`. Raises UserError where it is no model."""
    if path.is_dir():
        return _detect_folder(path)
    if path.suffix == ".safetensors":
        return _detect_tensors(path)
    if path.suffix in FILES:
        return Detected(None, "pickle")
    raise UserError(f"{path} is not a model: model files end in .safetensors or .ckpt.")


def _detect_folder(path: Path) -> Detected:
    if not (path / "unet" / "config.json").is_file():
        raise UserError(
            f"{path} is not a model: a diffusers folder has unet/config.json, vae/ and text_encoder/ in it."
        )
    unet = read_json(path / "unet" / "config.json")
    scheduler = (
        read_json(path / "scheduler" / "scheduler_config.json")
        if (path / "scheduler" / "scheduler_config.json").is_file()
        else {}
    )
    return Detected(_family_of_folder(path, unet), "diffusers", scheduler.get("prediction_type", "epsilon"))


def _family_of_folder(path: Path, unet: dict[str, Any]) -> str:
    """SD 2 has OpenCLIP's text encoder, which has plain GELU for an activation; SDXL has two text encoders."""
    if unet.get("addition_embed_type") == "text_time" or (path / "text_encoder_2").is_dir():
        if not (path / "text_encoder").is_dir():
            raise no_refiner(path)
        return "sdxl"
    text = read_json(path / "text_encoder" / "config.json") if (path / "text_encoder" / "config.json").is_file() else {}
    return "sd2" if text.get("hidden_act", "quick_gelu") == "gelu" else "sd1"


def read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        raise UserError(f"{path} can't be read as JSON; the model folder is damaged, get it again.") from None


WORDS = {"sd1": "Stable Diffusion 1.x", "sd2": "Stable Diffusion 2.x", "sdxl": "Stable Diffusion XL"}
FLAGS = {"sd2": "v2", "sdxl": "sdxl"}
"""The settings that say which family a model is of, where it is not 1.x."""
REFINER = "conditioner.embedders.0.model."
"""SDXL's refiner has OpenCLIP's text encoder alone, in the place of the first."""
VELOCITY, ZERO_SNR = "v_pred", "ztsnr"
"""Empty tensors of these names mark models made of SDXL that predict velocity, and whose noise ends in nothing else."""
SIGNS = (
    ("conditioner.embedders.0.transformer.", "sdxl"),
    ("cond_stage_model.model.", "sd2"),
    ("cond_stage_model.transformer.", "sd1"),
)


def _detect_tensors(path: Path) -> Detected:
    names = [name for name in read_header(path) if name != "__metadata__"]
    return Detected(family_of_names(names, path), "original", "v_prediction" if VELOCITY in names else None)


def family_of_names(names: Iterable[str], path: Path) -> str:
    """Which family the tensors of these names are of. Raises UserError where they are no whole model."""
    names = list(names)
    if any(".lora_down." in name or ".lora_A." in name or ".hada_w1_a" in name or ".lokr_w" in name for name in names):
        raise UserError(f"{path} is a network (LoRA), not a base model; give it as network_weights or base_weights.")
    if not any(name.startswith("model.diffusion_model.") for name in names):
        raise UserError(f"{path} is not a Stable Diffusion model: it holds no U-Net in the original layout.")
    if any(name.startswith(REFINER) for name in names):
        raise no_refiner(path)
    for sign, family in SIGNS:
        if any(name.startswith(sign) for name in names):
            return family
    raise UserError(f"{path} has no text encoder in it; give a complete Stable Diffusion checkpoint.")


def no_refiner(path: Path) -> UserError:
    return UserError(f"{path} is the refiner of Stable Diffusion XL, which can't be trained here; give the base model.")


def check_family(path: Path, found: str | None, wanted: str) -> None:
    """Raises UserError where the model is of another family than the settings say."""
    if found in (None, wanted):
        return
    changes = {FLAGS.get(wanted): "off", FLAGS.get(str(found)): "on"}
    steps = [f"turn {flag} {state}" for flag, state in changes.items() if flag]
    key = steps[0].split()[1]
    raise UserError(f"{key}: {path} is a {WORDS[str(found)]} model; {' and '.join(steps)}.")
