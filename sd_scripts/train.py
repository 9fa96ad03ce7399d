"""The only training entry point: `python -m sd_scripts.train --config_file x.toml --flag ...`

Exit codes: 0 trained or stopped as asked, 1 something unexpected, 2 something that whoever started it can put right.
"""

from __future__ import annotations

import logging
import os
import shlex
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

from .config import cli, toml
from .config.load import to_flat
from .config.schema import Problem
from .config.train_config import TrainConfig
from .errors import ConfigError, UserError
from .events import Events, RunFolder, make_folder
from .training import failures, launch
from .whole import write_whole

DONE, UNEXPECTED, REFUSED = 0, 1, 2


def main(
    argv: Sequence[str] | None = None,
    fixed: Mapping[str, object] | None = None,
    usual: Mapping[str, object] | None = None,
) -> int:
    """`fixed`: settings that a script stands for, over everything that the command line says. `usual`: defaults of its
    own, under all that."""
    argv = sys.argv[1:] if argv is None else argv
    notices: list[Problem] = []
    try:
        config = cli.parse(argv, fixed, usual, notices.append).named()
        run = open_run(config)
    except UserError as error:
        with closing(_asked_for(argv, fixed)) as events:
            _tell(error, events)
        return REFUSED
    if config.launch.spans_processes and not launch.is_launched():
        return launch.launch(config, run)
    for notice in notices if launch.rank() == 0 else []:
        cli.note(notice)
    return train(config, run)


def train(config: TrainConfig, run: RunFolder) -> int:
    """One process's part of the training; its end is told in words whatever it is."""
    first = launch.rank() == 0
    events = Events(run if first else None)
    try:
        os.environ.update(launch.secrets(config))  # where the libraries look for them
        _choose_devices(config)
        _quiet_libraries()
        from .training.run import run_training

        run_training(config, run if first else None, events)
        return DONE
    except UserError as error:
        _tell(error, events)
        return REFUSED
    except KeyboardInterrupt:
        events.state("stopped", "Stopped before the first step.")
        return DONE
    except BaseException as error:
        with suppress(OSError):
            traceback.print_exc()
        _tell(UserError(failures.in_words(error)), events)
        return UNEXPECTED
    finally:
        events.close()


def open_run(config: TrainConfig) -> RunFolder:
    """The run's folder with its settings and command in it. Raises BadOutputFolder."""
    make_folder(Path(config.saving.output_dir))
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{config.saving.stem}"
    run = RunFolder(config.logging.run_dir or Path(config.saving.output_dir) / "runs" / name)
    if launch.rank() != 0:
        return run
    run.create()
    if not run.config.exists():
        command = [sys.executable, "-m", "sd_scripts.train", "--config_file", str(run.config)]
        write_whole(run.command, shlex.join(command) + "\n")
        write_whole(run.config, toml.write_flat(to_flat(config)))
    return run


def _choose_devices(config: TrainConfig) -> None:
    """Before torch is imported, which reads them once."""
    if config.launch.gpu_ids and not launch.is_launched():
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", config.launch.gpu_ids.replace(" ", ""))
    if config.launch.num_cpu_threads_per_process:
        os.environ["OMP_NUM_THREADS"] = str(config.launch.num_cpu_threads_per_process)


def _quiet_libraries() -> None:
    """What they have to say is for programmers; the log is for whoever trains."""
    for name in ("DIFFUSERS_VERBOSITY", "TRANSFORMERS_VERBOSITY"):
        os.environ.setdefault(name, "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for name in ("bitsandbytes", "diffusers", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _asked_for(argv: Sequence[str], fixed: Mapping[str, object] | None) -> Events:
    """Where the app looks for the reason, even if the settings are wrong in some other place."""
    try:
        folder = cli.read(argv, fixed).get("run_dir")
        return Events(RunFolder(str(folder)).create() if folder else None)
    except (UserError, OSError):
        return Events(None)


def _tell(error: UserError, events: Events) -> None:
    problems = error.problems if isinstance(error, ConfigError) else []
    sentence = str(problems[0]) if problems else str(error)
    with suppress(OSError):  # the disk that the console is written to may be what is full
        for line in [str(problem) for problem in problems] or [str(error)]:
            print(f"Error: {line}", file=sys.stderr, flush=True)
    events.write("failed", sentence=sentence, problems=[{"key": p.key, "message": p.message} for p in problems])
    events.state("failed", sentence)


if __name__ == "__main__":
    sys.exit(main())
