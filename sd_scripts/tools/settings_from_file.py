"""The settings that a network was trained with, as its `ss_` metadata has them. Nothing here needs torch."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..config import load, toml
from ..config.schema import Notice, Parameter, Problem
from ..errors import UserError
from ..families.detect import read_header
from .settings import ReadSettingsSettings

NOT_RECORDED = ("train_data_dir", "The file does not say where the images lay; choose their folder.")
VERSIONS: dict[str, dict[str, object]] = {
    "sd_v1": {},
    "sd_v2": {"v2": True},
    "sd_v2_v": {"v2": True, "v_parameterization": True},
    "sdxl_base_v1-0": {"sdxl": True},
}
RENAMED = {"ss_batch_size_per_device": "train_batch_size", "ss_debiased_estimation": "debiased_estimation_loss"}
HANDLED = ("ss_base_model_version", "ss_optimizer", "ss_network_args", "ss_resolution", "ss_v2", "ss_output_name")


def run(settings: ReadSettingsSettings, say: Callable[[str], None]) -> None:
    flat, notices = settings_of(Path(settings.file).expanduser())
    for notice in notices:
        say(f"# {notice}")
    say(toml.write_flat(flat).rstrip())


def settings_of(file: Path) -> tuple[dict[str, object], list[Problem]]:
    """Flat settings for the form, and notices of what the file does not tell or what has no place here.

    Raises UserError where it is no .safetensors file or tells nothing of its training.
    """
    if not file.is_file():
        raise UserError(f"file: There is no file {file}; check its spelling.")
    metadata = {key: str(value) for key, value in (read_header(file).get("__metadata__") or {}).items()}
    if not any(key.startswith("ss_") for key in metadata):
        raise UserError(f"file: {file} does not say how it was trained; only files with ss_ metadata do.")
    return from_metadata(metadata)


def from_metadata(metadata: Mapping[str, str]) -> tuple[dict[str, object], list[Problem]]:
    flat: dict[str, object] = {}
    problems: list[Problem] = []
    for key, text in metadata.items():
        parameter = load.parameters().get(RENAMED.get(key, key.removeprefix("ss_"))) if key.startswith("ss_") else None
        if parameter and key not in HANDLED and text != "None":
            flat[parameter.key] = value_of(parameter, text)
    flat |= VERSIONS.get(metadata.get("ss_base_model_version", ""), {})
    flat |= _optimizer(metadata.get("ss_optimizer", ""))
    flat |= _resolution(metadata.get("ss_resolution", ""))
    flat |= {"output_name": metadata["ss_output_name"]} if metadata.get("ss_output_name", "None") != "None" else {}
    problems += _network(metadata, flat)
    problems += _what_is_missing(metadata)
    return _checked(flat, problems)


def value_of(parameter: Parameter, text: str) -> object:
    """A text as Python wrote it -> the value. What reads as nothing else is a text."""
    if parameter.kind == "str":
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return list(value) if isinstance(value, tuple) else value


def _optimizer(text: str) -> dict[str, object]:
    """`torch.optim.adamw.AdamW(weight_decay=0.01)` -> type and arguments; what torch has is known by its bare name."""
    match = re.fullmatch(r"([\w.]+)(?:\((.*)\))?", text.strip(), re.DOTALL)
    if not match or text == "None":
        return {}
    path, arguments = match[1], match[2] or ""
    name = path.rpartition(".")[2]
    known = path.startswith(
        ("torch.", "bitsandbytes.", "transformers.", "lion_pytorch.", "prodigyopt.", "dadaptation.")
    )
    found: dict[str, object] = {"optimizer_type": name if known else path}
    if arguments:
        found["optimizer_args"] = [
            part.strip() for part in re.split(r",\s*(?![^()\[\]]*[)\]])", arguments) if part.strip()
        ]
    return found


def _resolution(text: str) -> dict[str, object]:
    numbers = re.findall(r"\d+", text)
    return {"resolution": ",".join(numbers)} if numbers else {}


def _network(metadata: Mapping[str, str], flat: dict[str, object]) -> list[Problem]:
    """`ss_network_args` into `flat`; ranks that differ can't be set."""
    for key in ("network_dim", "network_alpha"):
        if flat.get(key) == "Dynamic":
            del flat[key]
    try:
        arguments = json.loads(metadata.get("ss_network_args", "None").replace("None", "null")) or {}
    except ValueError:
        return [Notice("network_args", "The file's record of them can't be read; set them again.")]
    if arguments:
        flat["network_args"] = [
            f"{key}={value}" for key, value in arguments.items() if value is not None and value != "Dynamic"
        ]
    dynamic = "Dynamic" in (metadata.get("ss_network_dim"), metadata.get("ss_network_alpha"))
    return (
        [Notice("network_dim", "Ranks or alphas differ between modules of the file; set them anew.")] if dynamic else []
    )


def _what_is_missing(metadata: Mapping[str, str]) -> list[Problem]:
    """Names without places: files of models and folders of images."""
    notices: list[Problem] = [Notice(*NOT_RECORDED)]
    for name, key in (("ss_sd_model_name", "pretrained_model_name_or_path"), ("ss_vae_name", "vae")):
        model = metadata.get(name, "None")
        if model != "None":
            notices.append(Notice(key, f"It was trained on {model}; choose where that lies here."))
    folders = _names(metadata.get("ss_dataset_dirs", ""))
    if folders:
        notices.append(Notice("train_data_dir", f"The folders of images were called {', '.join(folders)}."))
    if _names(metadata.get("ss_reg_dataset_dirs", "")):
        notices.append(Notice("reg_data_dir", "It was trained with regularization images; choose their folder."))
    if "ss_datasets" in metadata:
        notices.append(Notice("dataset_config", "The data sets were given as TOML, which the file does not hold."))
    return notices


def _names(text: str) -> list[str]:
    try:
        found: Any = json.loads(text)
    except ValueError:
        return []
    return list(found) if isinstance(found, dict) else []


def _checked(flat: dict[str, object], problems: list[Problem]) -> tuple[dict[str, object], list[Problem]]:
    """Without what can't be set here, each with a notice, and without what is as it is anyway."""
    for problem in load.from_flat(flat, strict=False).errors:
        if problem.key in flat:
            problems.append(
                Notice(
                    problem.key,
                    f"It was {flat.pop(problem.key)!r} in the training, which can't be set here: {problem.message}",
                )
            )
    defaults = {key: parameter.default for key, parameter in load.parameters().items()}
    return {key: value for key, value in flat.items() if load.plain(defaults.get(key)) != value}, problems
