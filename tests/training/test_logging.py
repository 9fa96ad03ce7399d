"""Curves, the data set as it is trained, and what is asked for while training runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sd_scripts.config.logging import LoggingConfig
from sd_scripts.training import trackers
from sd_scripts.training.logging import duration


@pytest.mark.parametrize(("seconds", "words"), [(0, "0:00"), (59.6, "1:00"), (3725, "1:02:05")])
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_the_log_begins_with_what_is_trained_how_fast_and_on_what(
    train: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """The rates are those that were given, of which a warm-up begins with nothing."""
    shape = {"network_dim": 1, "unet_lr": 2e-3, "lr_warmup_steps": 1, "max_train_steps": 1}
    ended = train(**shape, mixed_precision="bf16")
    numbers = sum(tensor.numel() for name, tensor in ended.weights().items() if not name.endswith("alpha"))
    said = capfd.readouterr().out
    assert f"  Trains {numbers:,} weights with AdamW (text_encoder 0.001, unet 0.002) on " in said
    assert " in bf16\n" in said


def test_tensorboard_gets_losses_and_rates(train: Any, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(logging_dir=tmp_path / "logs", log_prefix="try-", log_tracker_name="curves", scale_weight_norms=1)
    (folder,) = (tmp_path / "logs").iterdir()
    assert folder.name.startswith("try-20")
    curves = EventAccumulator(str(folder / "curves")).Reload()
    assert {"loss/current", "loss/average", "lr/unet", "lr/text_encoder", "norm/average_key_norm"} <= set(
        curves.Tags()["scalars"]
    )
    assert [point.step for point in curves.Scalars("loss/current")] == [1, 2, 3, 4, 5, 6]


def test_wandb_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(trackers.NoTracker) as caught:
        trackers.check(LoggingConfig(log_with="wandb"))
    assert str(caught.value) == (
        "log_with: wandb is not installed; run `pip install wandb` or choose another kind of log."
    )


def test_wandb_gets_its_name_its_settings_and_no_secret() -> None:
    from sd_scripts.config.load import from_flat

    config = from_flat(
        {"log_with": "wandb", "wandb_run_name": "one", "wandb_api_key": "w_x", "log_config": True, "network_dim": 8}
    ).unwrap()
    assert trackers._more(config) == {"wandb": {"name": "one", "dir": "outputs"}}
    settings = trackers._settings(config)
    assert settings["network_dim"] == 8 and "wandb_api_key" not in settings


def test_wandb_works_without_a_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    from accelerate import Accelerator

    from sd_scripts.config.load import from_flat

    monkeypatch.setenv("WANDB_MODE", "offline")
    config = from_flat({"log_with": "wandb", "logging_dir": str(tmp_path), "log_tracker_name": "cats"}).unwrap()
    curves = trackers.Trackers(config, Accelerator(cpu=True, log_with=["wandb"], project_dir=tmp_path))
    curves.log({"loss/current": 0.5}, 1)
    curves.close()
    assert list(tmp_path.glob("wandb/offline-run-*"))


def test_the_data_set_is_written_as_the_trainer_sees_it(train: Any) -> None:
    ended = train(debug_dataset=True, caption_prefix="photo,")
    assert ended.code == 0 and "loading" not in ended.states and ended.states[-1] == "done"
    folder = ended.run / "debug_dataset"
    assert len(list(folder.glob("*.png"))) == len(list(folder.glob("*.txt"))) == 5
    assert (folder / "00000_00.txt").read_text().startswith("photo, ")


def test_a_stop_saves_a_file_and_a_state_that_go_on(train: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from sd_scripts.training import control

    whole = train().weights()
    look = control.Control.look

    def stop_at_two(self: Any, step: int) -> None:
        if step == 2:
            self._run.request("stop")
        look(self, step)

    with monkeypatch.context() as patched:
        patched.setattr(control.Control, "look", stop_at_two)
        stopped = train()
    assert stopped.code == 0 and stopped.states[-1] == "stopped"
    assert [Path(saved["file"]).name for saved in stopped.of("saved")] == [
        "tiny-step00000002.safetensors", "tiny-step00000002-state",
    ]  # fmt: skip
    assert train(resume=stopped.of("saved")[1]["file"]).weights() == whole


@pytest.mark.parametrize(
    ("request_", "expected"), [("stop_now", []), ("save", ["tiny-step00000001.safetensors", "tiny.safetensors"])]
)
def test_other_wishes(train: Any, tiny_settings: dict[str, Any], request_: str, expected: list[str]) -> None:
    """The file was there before the first step."""
    from sd_scripts.events import RunFolder
    from sd_scripts.training import control

    RunFolder(tiny_settings["run_dir"]).create()
    asked = {"stop_now": "stop_now", "save": "save"}[request_]
    taken = control.Control.check
    (Path(tiny_settings["run_dir"]) / "control" / asked).touch()
    ended = train()
    assert control.Control.check is taken
    assert [Path(saved["file"]).name for saved in ended.of("saved")] == expected
    assert ended.states[-1] == ("stopped" if request_ == "stop_now" else "done")


def test_validation_measures_the_held_out_images(train: Any) -> None:
    ended = train(validation_split=0.4, validate_every_n_steps=2, max_train_steps=4)
    weights, measured = ended.weights(), ended.of("validation")
    assert [event["step"] for event in measured] == [2, 4] and all(event["loss"] > 0 for event in measured)
    assert ended.of("plan")[0]["batches_per_epoch"] == 2
    assert train(validation_split=0.4, max_train_steps=4).weights() == weights


def test_a_failure_nobody_foresaw_leaves_its_lines_and_a_sentence(
    train: Any, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    from sd_scripts.training import loop

    def broken(self: Any, batch: Any) -> None:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr(loop.Trainer, "loss", broken)
    ended = train()
    assert ended.code == 1
    assert ended.sentence == "The program failed with ZeroDivisionError: by nought (the lines above say where)."
    assert "Traceback" in capfd.readouterr().err
