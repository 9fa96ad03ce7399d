"""Starting several processes of one training, through `accelerate launch`. No torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from ..config.train_config import TrainConfig
from ..events import RunFolder

SECRETS = {"huggingface_token": "HF_TOKEN", "wandb_api_key": "WANDB_API_KEY"}
FREE_PORT = "0"


def is_launched(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a launcher has started this process as one of its own."""
    return "LOCAL_RANK" in environment


def rank(environment: Mapping[str, str] = os.environ) -> int:
    return int(environment.get("RANK", 0))


def command(config: TrainConfig, run: RunFolder) -> list[str]:
    """`accelerate launch` around the settings that lie in the run folder."""
    launch, many_machines = config.launch, config.launch.num_machines > 1
    words = [sys.executable, "-m", "accelerate.commands.launch"]
    words += ["--num_processes", str(launch.num_processes), "--num_machines", str(launch.num_machines)]
    words += ["--mixed_precision", config.precision.mixed_precision, "--dynamo_backend", "no"]
    if launch.num_processes > 1 or launch.multi_gpu:
        words += ["--multi_gpu"]
    if many_machines:
        words += ["--machine_rank", str(launch.machine_rank), "--main_process_ip", str(launch.main_process_ip)]
    words += ["--main_process_port", str(launch.main_process_port or ("29500" if many_machines else FREE_PORT))]
    if launch.gpu_ids:
        words += ["--gpu_ids", launch.gpu_ids.replace(" ", "")]
    if launch.num_cpu_threads_per_process:
        words += ["--num_cpu_threads_per_process", str(launch.num_cpu_threads_per_process)]
    words += launch.extra_accelerate_launch_args
    return [
        *words,
        "--module",
        "sd_scripts.train",
        "--config_file",
        str(run.config.absolute()),
        "--run_dir",
        str(run.path.absolute()),
    ]


def secrets(config: TrainConfig) -> dict[str, str]:
    """What no file may hold, by the names of the variables that libraries read it from."""
    given = {"huggingface_token": config.saving.huggingface_token, "wandb_api_key": config.logging.wandb_api_key}
    return {SECRETS[key]: secret.get_secret_value() for key, secret in given.items() if secret is not None}


def environment(config: TrainConfig) -> dict[str, str]:
    """Of the processes."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
    return {**os.environ, **secrets(config), "PYTHONPATH": path}


def launch(config: TrainConfig, run: RunFolder) -> int:
    """Runs all processes and waits for them; passes on that it shall stop."""
    child = subprocess.Popen(command(config, run), env=environment(config))

    def pass_on(number: int, frame: FrameType | None) -> None:
        child.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all processes itself
    return child.wait()
