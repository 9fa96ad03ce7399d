"""Each thing that can be wrong before training, with the sentence that says what to do."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sd_scripts.events import RunFolder
from sd_scripts.train import main


def refused(settings: dict[str, Any]) -> str:
    """The sentence in the run's folder; nothing was loaded."""
    words = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    assert main(words) == 2
    events = RunFolder(str(settings["run_dir"])).read()[0]
    assert not any(event.get("state") == "loading" for event in events)
    return [event["sentence"] for event in events if event["kind"] == "failed"][-1]


def test_an_output_folder_that_cannot_be_written(tiny_settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sentence = refused({**tiny_settings, "output_dir": tmp_path / "file" / "out"})
    assert sentence == (
        f"output_dir: The folder {tmp_path / 'file' / 'out'} can't be written to (Not a directory); "
        "choose another or change its rights."
    )


def test_a_full_disk(tiny_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=0))
    assert refused(tiny_settings) == (
        f"output_dir: The disk of {tiny_settings['output_dir']} is full: 4 MB are needed to save and 0 MB are free; "
        "make room or choose another folder."
    )


def test_fp16_without_a_gpu(tiny_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sd_scripts.training.memory.device_type", lambda: "cpu")
    assert refused({**tiny_settings, "mixed_precision": "fp16"}) == (
        "mixed_precision: fp16 needs a GPU, and this machine has none that PyTorch can use; choose bf16 or no."
    )


FILES = [
    ("network_weights", "network_weights: There is no file {file}; check its spelling."),
    ("base_weights", "base_weights: There is no file {file}; check its spelling."),
    ("metadata_thumbnail", "metadata_thumbnail: {file} can't be read; give an image file or a data URL."),
    ("log_tracker_config", "The file {file} does not exist; check its name."),
]


@pytest.mark.parametrize(("key", "sentence"), FILES, ids=[key for key, _ in FILES])
def test_a_file_that_is_not_there(tiny_settings: dict[str, Any], tmp_path: Path, key: str, sentence: str) -> None:
    file = tmp_path / "missing.png"
    assert refused({**tiny_settings, key: file, "logging_dir": tmp_path / "logs"}) == sentence.format(file=file)


TRACKERS = [
    ("[tensorboard]\nfoo = 1", "is refused: SummaryWriter.__init__() got an unexpected keyword argument 'foo'; mend it."),
    ("[tensorbored]\nmax_queue = 1",
     "has tensorbored, and only sections [tensorboard] and [wandb] are read; write the settings into one of these."),
    ("max_queue = 1",
     "has max_queue, and only sections [tensorboard] and [wandb] are read; write the settings into one of these."),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), TRACKERS, ids=["argument", "section", "no section"])
def test_a_wrong_tracker_config(tiny_settings: dict[str, Any], tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "tracker.toml").write_text(text, encoding="utf-8")
    settings = {"log_tracker_config": tmp_path / "tracker.toml", "logging_dir": tmp_path / "logs"}
    assert refused({**tiny_settings, **settings}) == f"log_tracker_config: {tmp_path / 'tracker.toml'} {sentence}"


WRONG = [
    ({"network_dim": "0"}, "network_dim: '0' is out of range; it must be at least 1."),
    ({"network_dim": "big"}, "network_dim: 'big' is not a whole number."),
    ({"full_fp16": "true"}, "full_fp16: It needs mixed_precision fp16, which is no; change one of them."),
    ({"sample_at_first": "true"},
     "sample_prompts: Samples are asked for, but there are no prompts; write some, or turn the samples off."),
    ({"network_dimm": "4"}, "--network_dimm: There is no such flag. Did you mean network_dim?"),
    ({"output_name": "a/b"}, "output_name: 'a/b' can't be the name of a file because of '/'; leave that out."),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "sentence"), WRONG, ids=[next(iter(wrong)) for wrong, _ in WRONG])
def test_a_wrong_setting(tiny_settings: dict[str, Any], wrong: dict[str, str], sentence: str) -> None:
    words = [word for key, value in {**tiny_settings, **wrong}.items() for word in (f"--{key}", str(value))]
    assert main(words) == 2
    events = RunFolder(str(tiny_settings["run_dir"])).read()[0]
    if "network_dimm" not in wrong:  # whoever mistypes a flag sits before the terminal
        assert [event["sentence"] for event in events if event["kind"] == "failed"] == [sentence]


def test_all_wrong_settings_are_said_at_once(tiny_settings: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    main(
        [*(w for k, v in {**tiny_settings, "network_dim": 0, "learning_rate": -1}.items() for w in (f"--{k}", str(v)))]
    )
    printed = capfd.readouterr().err
    assert "Error: network_dim: " in printed and "Error: learning_rate: " in printed and "Traceback" not in printed
