"""The printed command says the same as the form."""

from __future__ import annotations

import shlex

import pytest

from kohya_gui import command
from sd_scripts.config import cli, load

SETTINGS = {
    "pretrained_model_name_or_path": "models/it's here/a b.safetensors", "max_grad_norm": 0.0, "unet_lr": 0.0,
    "seed": 7,
    "sample_prompts": "a cat --d 1\na \"dog\" & $HOME", "sample_every_n_epochs": 1,
    "optimizer_args": ["betas=(0.9, 0.99)", "eps=1e-8"],
    "output_name": "-dash", "enable_bucket": False, "gradient_checkpointing": True,
}  # fmt: skip


def parsed(flat: dict[str, object]) -> dict[str, object]:
    words = shlex.split(command.line(flat).split(" && ", 1)[1])
    return load.to_flat(load.from_flat(cli.read(words[3:])).unwrap())


def test_the_command_pasted_into_a_shell_gives_the_same_settings() -> None:
    flat = load.to_flat(load.from_flat(SETTINGS).unwrap())
    assert flat.keys() >= SETTINGS.keys() - {"enable_bucket"}
    assert parsed(flat) == flat


@pytest.mark.parametrize("value", [["--dynamo_backend", "no"], ["--mixed_precision=no"]])
def test_words_that_begin_with_dashes_are_no_flags_of_ours(value: list[str]) -> None:
    flat = {"extra_accelerate_launch_args": value}
    assert parsed(flat) == flat
