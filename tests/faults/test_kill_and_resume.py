"""kill -9 in the middle of a run, then resume: the same weights, bit for bit, as of a run that was never killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
MOVING = {
    "network_dropout": 0.1,
    "shuffle_caption": "true",
    "flip_aug": "true",
    "lr_scheduler": "cosine",
    "max_data_loader_n_workers": 1,
}


def command(settings: dict[str, Any]) -> list[str]:
    return [
        sys.executable,
        "-m",
        "sd_scripts.train",
        *(word for key, value in settings.items() for word in (f"--{key}", str(value))),
    ]


def trained(settings: dict[str, Any]) -> dict[str, torch.Tensor]:
    subprocess.run(command(settings), cwd=ROOT, check=True, timeout=300)
    return load_file(str(Path(settings["output_dir"]) / "tiny.safetensors"))


def kill_after_a_state(settings: dict[str, Any], state: Path) -> None:
    """The run is so long that it can't have ended."""
    process = subprocess.Popen(
        command({**settings, "save_every_n_steps": 4, "save_state": "true", "max_train_steps": 100_000}), cwd=ROOT
    )
    deadline = time.monotonic() + 300
    while not state.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no kill -9")
def test_a_killed_and_resumed_run_ends_in_the_same_weights(tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    settings = {**tiny_settings, **MOVING, "lr_scheduler": "constant", "max_train_steps": 9}
    whole = trained({**settings, "output_dir": tmp_path / "whole", "run_dir": tmp_path / "whole-run"})
    state = Path(settings["output_dir"]) / "tiny-step00000004-state"
    kill_after_a_state(settings, state)
    resumed = trained({**settings, "resume": state})
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_what_a_killed_save_leaves_behind_is_not_taken_for_a_state(tmp_path: Path) -> None:
    """The folder appears under its name only when it is whole."""
    from sd_scripts.whole_folder import whole_folder

    folder = tmp_path / "x-state"
    folder.mkdir()
    (folder / "old").write_text("old")
    with pytest.raises(OSError, match="disk"), whole_folder(folder) as new:
        (new / "model.safetensors").write_text("half")
        raise OSError("disk")
    assert [file.name for file in tmp_path.iterdir()] == ["x-state"] and (folder / "old").exists()
    with whole_folder(folder) as new:
        (new / "new").write_text("new")
    assert [file.name for file in tmp_path.iterdir()] == ["x-state"] and [file.name for file in folder.iterdir()] == [
        "new"
    ]
