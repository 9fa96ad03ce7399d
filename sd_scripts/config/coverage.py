"""Writes docs/parameters_map.md: where every known parameter of kohya_ss and sd-scripts is, or why it is not.

`python -m sd_scripts.config.coverage` makes the page again from the lists of names in tests/fixtures/names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import legacy_names as old
from .schema import Parameter
from .train_config import all_parameters

ROOT = Path(__file__).parents[2]
NAMES = ROOT / "tests" / "fixtures" / "names"
PAGE = ROOT / "docs" / "parameters_map.md"

MEANINGS = {
    "epoch": "`max_train_epochs`, unless the file has a number of steps",
    "lr_warmup": "`lr_warmup_steps`, which takes a percentage",
    "noise_offset_type": "decides whether `noise_offset` or `multires_noise_iterations` is read from the file",
    "LoRA_type": "`network_module`, and `algo` where it is lycoris.kohya",
    "additional_parameters": "each flag in it becomes the setting of that name",
    "stop_text_encoder_training_pct": "`stop_text_encoder_training`, which takes a percentage",
    "template": "`use_object_template` or `use_style_template`",
    "use_8bit_adam": "`optimizer_type`: AdamW8bit",
    "use_lion_optimizer": "`optimizer_type`: Lion",
    "use_wandb": "`log_with`: wandb",
    "sdxl_no_half_vae": "`no_half_vae`, when the file is for SDXL",
    "learning_rate_te1": "`text_encoder_lr`, which takes a rate for each text encoder",
    "learning_rate_te2": "`text_encoder_lr`, which takes a rate for each text encoder",
    "train_dir": "`in_json`: the folder of the metadata file",
    "caption_metadata_filename": "`in_json`: the name of the metadata file",
    "latent_metadata_filename": "`in_json`: the name of the metadata file",
    "use_latent_files": "decides which of the two metadata files becomes `in_json`",
    "image_folder": "`train_data_dir`",
    "config_file": "a flag of the command line, and Load in the app",
    "output_config": "a flag of the command line, and Print command in the app",
}
"""Names whose meaning was translated, by `legacy` or by the command line -> where it went."""

_DEEPSPEED = "not offered: DeepSpeed is for models that fit on no single card, which these do"
NOT_OFFERED = {
    "console_log_simple": "not needed: the console log is always plain lines",
    "tokenizer_cache_dir": "not needed: tokenizers come with the model or with this program",
    "dataset_class": "not offered: it would run code that a settings file names",
    "ddp_gradient_as_bucket_view": "not needed: processes share their gradients without DDP and its buckets",
    "ddp_static_graph": "not needed: processes share their gradients without DDP and its graph",
    **dict.fromkeys(
        (
            "deepspeed", "zero_stage", "offload_optimizer_device", "offload_optimizer_nvme_path",
            "offload_param_device", "offload_param_nvme_path", "zero3_init_flag", "zero3_save_16bit_model",
            "fp16_master_weights_and_gradients",
        ),
        _DEEPSPEED,
    ),
}  # fmt: skip
"""Flags of the engine that are left out -> why."""

_SECTIONS = (
    ("train_network.txt", "sd-scripts: flags of train_network.py"),
    ("network_args.txt", "sd-scripts: network_args of each network module"),
    ("kohya_lora.txt", "kohya_ss: keys of a LoRA file"),
    ("kohya_other.txt", "kohya_ss: keys of its other pages"),
    ("train_readme.txt", "The train README: flags of its common section"),
    ("lora_parameters.txt", "The guide to LoRA training parameters"),
)


@dataclass(frozen=True)
class Name:
    """A parameter as some other program or text calls it: its key, and what stands before it in the list."""

    key: str
    note: str = ""


def read(file: Path) -> list[Name]:
    """One key a line, with a note and a tab before it where there is something to add."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [Name(line.split("\t")[-1], line.rpartition("\t")[0]) for line in lines if line.strip()]


def place(key: str) -> str | None:
    """Where `key` is, or why it is not; None where nobody knows."""
    if key in MEANINGS:
        return MEANINGS[key]
    parameter = all_parameters().get(old.RENAMED.get(key, key)) or _by_alias(key)
    if parameter:
        return f"{parameter.group.title}: `{parameter.key}`"
    return _elsewhere(key)


def _by_alias(key: str) -> Parameter | None:
    return next((parameter for parameter in all_parameters().values() if key in parameter.aliases), None)


def _elsewhere(key: str) -> str | None:
    if key in NOT_OFFERED:
        return NOT_OFFERED[key]
    if key in old.GONE:
        return f"without meaning: {old.GONE[key]}"
    if key in old.NOT_HERE:
        return f"not offered: {old.NOT_HERE[key].rpartition(', so')[0]}"
    for reason, tables in (("of {} models", old.FAMILIES), ("of {}", old.METHODS)):
        for owner, keys in tables.items():
            if key in keys:
                return f"not for LoRA on SD 1.x and 2.x: it is {reason.format(owner)}"
    return None


def page() -> str:
    """The whole page; a test holds the file in docs/ against it."""
    lines = [
        "# Where every known parameter is",
        "",
        "Every parameter of sd-scripts' LoRA trainer, of kohya_ss's files and of two well-known guides: the section of",
        "the form and the key it has here, or why it has none. kohya_ss's files load as they are; the app says what it",
        "could not carry over. This page is made from the code by `python -m sd_scripts.config.coverage`.",
    ]
    for file, title in _SECTIONS:
        lines += ["", f"## {title}", "", *_table(read(NAMES / file))]
    return "\n".join(lines) + "\n"


def _table(names: list[Name]) -> Iterator[str]:
    has_notes = any(name.note for name in names)
    yield "| There | Name | Here |" if has_notes else "| Name | Here |"
    yield "| --- | --- | --- |" if has_notes else "| --- | --- |"
    for name in names:
        cells = [*([name.note] if has_notes else []), f"`{name.key}`", place(name.key) or "unknown"]
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
