"""Several processes train as one does: here two on the CPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sd_scripts.config.load import from_flat
from sd_scripts.events import RunFolder
from sd_scripts.training import launch

ROOT = Path(__file__).resolve().parents[2]


def command(settings: dict[str, Any]) -> list[str]:
    return [
        sys.executable,
        "-m",
        "sd_scripts.train",
        *(word for key, value in settings.items() for word in (f"--{key}", str(value))),
    ]


METHODS: dict[str, dict[str, Any]] = {
    "lora": {"network_train_unet_only": True},
    "textual_inversion": {"token_string": "bloop", "init_word": "red", "caption_prefix": "bloop,"},
    "dreambooth": {"max_grad_norm": 0, "learning_rate": 1e-4},
}
CASES = [(method, {}) for method in METHODS] + [("dreambooth", {"fused_optimizer_groups": 3})]


def common(method: str) -> dict[str, Any]:
    return {"method": method, "train_batch_size": 1, "max_train_steps": 2, **METHODS[method]}


def near(one: dict[str, torch.Tensor], file: Path, atol: float = 1e-6) -> bool:
    other = load_file(str(file))
    assert one.keys() == other.keys()
    return all(torch.allclose(one[name], other[name], rtol=1e-3, atol=atol) for name in one)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize(("method", "fused"), CASES, ids=lambda value: value or "plain")
def test_two_processes_do_what_one_does_that_gathers_two_batches(
    train: Any, two_processes: Any, tmp_path: Path, method: str, fused: dict[str, Any]
) -> None:
    alone = train(**common(method), gradient_accumulation_steps=2).weights()
    settings = {**common(method), **fused, "num_processes": 2, "output_dir": tmp_path / "two"}
    two_processes(lambda: train(**settings))
    assert near(alone, tmp_path / "two" / "tiny.safetensors", 2e-5 if method == "dreambooth" else 1e-6)


def test_a_launcher_starts_them_and_one_of_them_tells_what_happens(
    train: Any, tiny_settings: dict[str, Any], tmp_path: Path
) -> None:
    """A change of the live training reaches all of them: it is asked for at once, and done after the first step."""
    longer, change = {**common("lora"), "max_train_steps": 4}, {"rate_factor": 0.5, "total_steps": 2}
    for place in (str(tiny_settings["run_dir"]), tmp_path / "two-run"):
        RunFolder(place).create().request_change(change)
    alone = train(**longer, gradient_accumulation_steps=2).weights()
    places = {"output_dir": tmp_path / "two", "run_dir": tmp_path / "two-run"}
    samples = {"sample_every_n_steps": 1, "sample_prompts": "a cat --s 1"}
    told = {"adaptive_noise_scale": 0.1, "console_log_file": tmp_path / "console.txt"}
    settings = {**tiny_settings, **longer, **places, **samples, **told, "num_processes": 2}
    ended = subprocess.run(command(settings), cwd=ROOT, check=True, timeout=500, stderr=subprocess.PIPE, text=True)
    assert ended.stderr.count("Note: adaptive_noise_scale") == 1
    assert "Training from step 0 to 4" in (tmp_path / "console.txt").read_text(encoding="utf-8")
    assert near(alone, tmp_path / "two" / "tiny.safetensors")
    events = RunFolder(tmp_path / "two-run").read()[0]
    assert [event["step"] for event in events if event["kind"] == "step"] == [1, 2]
    rates = [event["lr"]["unet"] for event in events if event["kind"] == "step"]
    assert rates[1] == pytest.approx(rates[0] / 2)
    assert sum(event["kind"] == "sample" for event in events) == 2


LAUNCHES = [
    ({"num_processes": 2}, ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
                            "--multi_gpu", "--main_process_port", "0"]),
    ({"num_processes": 4, "gpu_ids": "0, 1,2,3", "main_process_port": 29600, "num_cpu_threads_per_process": 2, "mixed_precision": "bf16"},
     ["--num_processes", "4", "--num_machines", "1", "--mixed_precision", "bf16", "--dynamo_backend", "no", "--multi_gpu",
      "--main_process_port", "29600", "--gpu_ids", "0,1,2,3", "--num_cpu_threads_per_process", "2"]),
    ({"num_processes": 2, "num_machines": 2, "machine_rank": 1, "main_process_ip": "10.0.0.1", "extra_accelerate_launch_args": "--debug"},
     ["--num_processes", "2", "--num_machines", "2", "--mixed_precision", "no", "--dynamo_backend", "no", "--multi_gpu",
      "--machine_rank", "1", "--main_process_ip", "10.0.0.1", "--main_process_port", "29500", "--debug"]),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "words"), LAUNCHES, ids=["two", "gpus", "machines"])
def test_the_launch_command(settings: dict[str, Any], words: list[str], tmp_path: Path) -> None:
    config, run = from_flat(settings).unwrap(), RunFolder(tmp_path)
    assert config.launch.spans_processes
    made = launch.command(config, run)
    assert made[:3] == [sys.executable, "-m", "accelerate.commands.launch"]
    assert made[3:-6] == words
    assert made[-6:] == ["--module", "sd_scripts.train", "--config_file", str(run.config), "--run_dir", str(tmp_path)]


def test_secrets_travel_in_the_environment_alone(tmp_path: Path) -> None:
    config = from_flat(
        {"num_processes": 2, "huggingface_token": "hf_x", "wandb_api_key": "w_x", "log_with": "wandb"}
    ).unwrap()
    environment = launch.environment(config)
    assert (environment["HF_TOKEN"], environment["WANDB_API_KEY"]) == ("hf_x", "w_x")
    assert not any("_x" in word for word in launch.command(config, RunFolder(tmp_path))[3:])
