"""kill -9 in the middle of a run, then resume: the same weights, bit for bit, as of a run that was never killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sd_scripts.train import main
from sd_scripts.training.state import BadState, read_place

ROOT = Path(__file__).resolve().parents[2]
MOVING = {"shuffle_caption": "true", "flip_aug": "true", "lr_scheduler": "constant"}
SAVING = {"save_every_n_steps": 2, "save_state": "true"}
METHODS: dict[str, dict[str, Any]] = {
    "lora": {"network_dropout": 0.1},
    "dreambooth": {"learning_rate": 1e-4},
    "finetune": {"learning_rate": 1e-4, "ema": "true"},
    "textual_inversion": {"token_string": "bloop", "init_word": "red", "caption_prefix": "bloop,"},
}
SECONDS = 300


def words(settings: dict[str, Any]) -> list[str]:
    return [word for key, value in settings.items() for word in (f"--{key}", str(value))]


@pytest.fixture
def one_thread() -> Any:
    """A forked process can't use the threads of the one that it was forked from."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def killed(run: Callable[[], object]) -> None:
    """In a process of its own."""
    if (child := os.fork()) == 0:
        try:
            die_while_the_second_state_is_written()
            run()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def die_while_the_second_state_is_written() -> None:
    """When its weights and half of its optimizer are on the disk."""
    save, optimizers = torch.save, []

    def save_or_die(value: Any, file: Any, *more: Any) -> None:
        save(value, file, *more)
        optimizers.extend([file] if "optimizer" in str(file) else [])
        if len(optimizers) == 2:
            Path(file).write_bytes(Path(file).read_bytes()[:100])
            os.kill(os.getpid(), signal.SIGKILL)

    torch.save = save_or_die


@pytest.mark.skipif(sys.platform != "linux" or torch.cuda.is_available(), reason="only Linux forks, and no GPU does")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("method", METHODS)
def test_a_run_killed_while_it_saves_goes_on_from_the_state_before(
    train: Any, tiny_settings: dict[str, Any], one_thread: None, method: str
) -> None:
    settings = {**MOVING, **METHODS[method], "method": method, "max_train_steps": 5}
    whole = train(**settings).weights()
    killed(lambda: train(**settings, **SAVING))
    output = Path(tiny_settings["output_dir"])
    state, torn = output / "tiny-step00000002-state", output / "tiny-step00000004-state"
    (half,) = output.glob(".tiny-step00000004-state.*")
    assert state.is_dir() and not torn.exists() and (half / "optimizer.bin").stat().st_size == 100
    with pytest.raises(BadState):
        read_place(half)
    resumed = train(**settings, **SAVING, resume=state)
    assert resumed.weights() == whole
    assert torn.is_dir() and not half.exists()


def kill_after_a_state(settings: dict[str, Any], state: Path) -> None:
    """The run is so long that it can't have ended."""
    process = subprocess.Popen([sys.executable, "-m", "sd_scripts.train", *words(settings)], cwd=ROOT)
    deadline = time.monotonic() + SECONDS
    while not state.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()


def trained(settings: dict[str, Any]) -> dict[str, Any]:
    """By a model read from its file, as other processes do: sums may be rounded otherwise where copies lie."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    assert main(words(settings)) == 0
    AcceleratorState._reset_state(reset_partial_state=True)
    return load_file(str(Path(settings["output_dir"]) / "tiny.safetensors"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no kill -9")
def test_a_run_killed_at_any_time_goes_on_from_its_last_state(tiny_settings: dict[str, Any]) -> None:
    """Its readers of images are left without a parent, and it may have gone on for some steps after the state."""
    settings = {**tiny_settings, **MOVING, "max_data_loader_n_workers": 1, "max_train_steps": 5}
    whole = trained(settings)
    state = Path(tiny_settings["output_dir"]) / "tiny-step00000002-state"
    kill_after_a_state({**settings, **SAVING, "max_train_steps": 100_000}, state)
    resumed = trained({**settings, "resume": state})
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
