"""Writes docs/parameters_map.md: where every known parameter of kohya_ss and sd-scripts is, or why it is not.

`python -m sd_scripts.config.coverage` makes the page again from the lists of names in tests/fixtures/names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import left_out
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
    **{switch: f"`{key}`: {value}" for switch, (key, value) in left_out.SHORTCUTS.items()},
    "use_wandb": "`log_with`: wandb",
    "sdxl_no_half_vae": "`no_half_vae`, when the file is for SDXL",
    "sdxl_cache_text_encoder_outputs": "`cache_text_encoder_outputs`, when the file is for SDXL",
    "learning_rate_te1": "`text_encoder_lr`, which takes a rate for each text encoder",
    "learning_rate_te2": "`text_encoder_lr`, which takes a rate for each text encoder",
    "train_dir": "`in_json`: the folder of the metadata file",
    "caption_metadata_filename": "`in_json`: the name of the metadata file",
    "latent_metadata_filename": "`in_json`: the name of the metadata file",
    "use_latent_files": "decides which of the two metadata files becomes `in_json`",
    "image_folder": "`train_data_dir`",
    "batch_size": "not needed: training caches latents itself, `vae_batch_size` at once",
    "full_path": "not needed: names in a metadata file may be whole paths or start at the image folder",
    "generate_caption_database": "not needed: the metadata file is made by a tool of its own",
    "generate_image_buckets": "not needed: training makes buckets and caches latents itself",
    "config_file": "a flag of the command line, and Load in the app",
    "output_config": "a flag of the command line, and Print command in the app",
}
"""Names whose meaning was translated, by `legacy` or by the command line -> where it went."""

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
    if key in left_out.NAMES:
        return left_out.WITHOUT_EFFECT.get(key) or f"not offered: {left_out.REFUSED[key]}"
    if key in old.GONE:
        return f"without meaning: {old.GONE[key]}"
    if key in old.NOT_HERE:
        return f"not offered: {old.NOT_HERE[key].rpartition(', so')[0]}"
    for reason, tables in (("of {} models", old.FAMILIES), ("of {}", old.METHODS)):
        for owner, keys in tables.items():
            if key in keys:
                return f"not offered: it is {reason.format(owner)}, which can't be trained here"
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
