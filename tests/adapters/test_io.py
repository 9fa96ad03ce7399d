"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sd_scripts.adapters import io
from sd_scripts.errors import UserError

TENSORS = {"lora_unet_a.lora_down.weight": torch.arange(6.0).reshape(2, 3), "lora_unet_a.alpha": torch.tensor(2.0)}


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt", "a.ckpt"])
def test_what_is_saved_is_loaded(tmp_path: Path, name: str) -> None:
    io.save(tmp_path / "new" / name, TENSORS, {"ss_x": "1"}, torch.float16)
    tensors, metadata = io.load(tmp_path / "new" / name)
    assert {key: value.dtype for key, value in tensors.items()} == dict.fromkeys(TENSORS, torch.float16)
    assert all(torch.equal(tensors[key].float(), value) for key, value in TENSORS.items())
    assert metadata == ({"ss_x": "1"} if name == "a.safetensors" else {})
    assert os.listdir(tmp_path / "new") == [name]


def test_a_full_disk_leaves_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.safetensors"
    io.save(file, TENSORS, {})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError) as caught:
        io.save(file, {"lora_b.alpha": torch.zeros(1)}, {})
    assert (
        str(caught.value)
        == f"{file} could not be saved because the disk is full; free some space. An older file of it is unharmed."
    )
    assert load_file(file).keys() == TENSORS.keys()
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_a_place_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="could not be saved .*; check that output_dir can be written."):
        io.save(tmp_path / "file" / "a.safetensors", TENSORS, {})


@pytest.mark.parametrize(
    ("content", "name", "sentence"),
    [
        (None, "a.safetensors", "network_weights: There is no file {}; check its spelling."),
        (b"short", "a.safetensors", "network_weights: {} is damaged or no safetensors file; get it again."),
        (b"short", "a.pt", "network_weights: {} is damaged, or holds more than weights; get it as .safetensors."),
    ],
)
def test_files_that_can_not_be_loaded(tmp_path: Path, content: bytes | None, name: str, sentence: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        io.load(tmp_path / name)
    assert str(caught.value) == sentence.format(tmp_path / name)


def test_a_file_that_is_no_network(tmp_path: Path) -> None:
    io.save(tmp_path / "a.safetensors", {"unet.x": torch.zeros(1)}, {})
    with pytest.raises(UserError) as caught:
        io.load(tmp_path / "a.safetensors", "base_weights")
    assert (
        str(caught.value) == f"base_weights: {tmp_path}/a.safetensors is not a network file with sd-scripts' names; "
        "choose a LoRA saved in that layout."
    )
