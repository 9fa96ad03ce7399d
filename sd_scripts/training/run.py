"""One training from its settings to its end."""

from __future__ import annotations

import os
import secrets
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list

from .. import optim
from .. import plan as planning
from ..adapters.modelspec import as_data_url
from ..config.saving import SavingConfig
from ..config.train_config import TrainConfig
from ..errors import ConfigError, UserError
from ..events import Events, Heartbeat, RunFolder
from . import debug_dataset, hub, memory, sampling, trackers
from .build import Parts, build
from .checkpoints import check_room
from .control import Control, Stopped
from .logging import Log, console, set_up_console
from .progress import Progress
from .state import read_place


def run_training(config: TrainConfig, run: RunFolder | None, events: Events) -> None:
    """Trains as the settings say. `run` is None in all processes but the first. Raises UserError with a sentence."""
    _set_up_console(config, run)
    progress = Progress()
    with _heart(run, progress):
        resume_from = _state_to_resume(config.saving)
        resumed = read_place(resume_from)["current_step"] if resume_from else 0
        events.write("start", pid=os.getpid(), attempt=_attempt(run), resumed_step=resumed)
        events.state("starting", "Checking the settings")
        check(config)
        accelerator = make_accelerator(config)
        config = _settled(config, accelerator, resume_from)
        plan = _planned(config, events)
        if config.logging.debug_dataset:
            debug_dataset.write(config, plan, run, events)
            return
        with Control(run, accelerator) as control:
            tracked = trackers.Trackers(config, accelerator)
            log = Log(events, tracked)
            if tracked.address:
                log.notice("log_with", f"W&B shows this run at {tracked.address}")
            if resume_from and resumed >= plan.total_steps:
                log.notice(
                    "resume", f"{resume_from} is of step {resumed}, with which the training ends; raise its length."
                )
            _train(Parts(config, plan, run, accelerator, control, log, progress, resume_from))


def _train(parts: Parts) -> None:
    log = parts.log
    try:
        trainer = build(parts)
        trainer.run()
    except Stopped:
        log.state("stopped", "Stopped at once; nothing was saved.")
        return
    finally:
        log.close()
    if trainer.finished:
        log.state("done", f"Done: {trainer.progress.step} steps.")
    else:
        log.state("stopped", f"Stopped after step {trainer.progress.step} and saved.")


def make_accelerator(config: TrainConfig) -> Accelerator:
    """Of accelerate only mixed precision, processes and trackers are used; steps are counted by the loop."""
    minutes = config.launch.ddp_timeout
    return Accelerator(
        mixed_precision=config.precision.mixed_precision,
        cpu=memory.device_type() == "cpu",
        log_with=list(config.logging.trackers) or None,
        project_dir=trackers.folder(config.logging),
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(minutes=minutes))] if minutes else [],
    )


def check(config: TrainConfig) -> None:
    """All that can be found wrong before anything is loaded. Raises UserError."""
    _check_files(config)
    memory.check(config.precision, memory.device_type())
    sampling.check(config.sampling)
    trackers.check(config.logging)
    optim.check(config.optimizer)
    check_room(Path(config.saving.output_dir), 0)


def _check_files(config: TrainConfig) -> None:
    """Those that are read after the model."""
    named = {"network_weights": (config.network.network_weights,), "base_weights": config.network.base_weights}
    for key, files in named.items() if config.adapter else ():
        for file in files:
            if file and not Path(file).is_file():
                raise UserError(f"{key}: There is no file {file}; check its spelling.")


def _set_up_console(config: TrainConfig, run: RunFolder | None) -> None:
    """Whoever starts a run with a folder of its own choice catches the output there too; otherwise it is done here."""
    if run is None:  # of several processes the first one tells the course
        set_up_console(config.logging.model_copy(update={"console_log_file": None}))
        console.setLevel("WARNING")
        return
    set_up_console(config.logging, None if config.logging.run_dir else run.console)


def _attempt(run: RunFolder | None) -> int:
    return 1 + sum(event["kind"] == "start" for event in run.read()[0]) if run else 1


def _state_to_resume(saving: SavingConfig) -> Path | None:
    """Raises BadState, HubError."""
    if not saving.resume:
        return None
    folder = hub.download_state(saving) if saving.resume_from_huggingface else Path(saving.resume)
    read_place(folder)
    return folder


def _settled(config: TrainConfig, accelerator: Accelerator, resume_from: Path | None) -> TrainConfig:
    """With what was left open decided. Where no seed is given: that of the training that goes on, or a new one, the
    same in all processes."""
    config = _with(config, "launch", num_processes=accelerator.num_processes)
    if config.saving.metadata_thumbnail:  # read now, so that no training is lost by a picture that is not there
        config = _with(config, "saving", metadata_thumbnail=as_data_url(config.saving.metadata_thumbnail))
    if config.training.seed is not None:
        return config
    seed = read_place(resume_from).get("seed") if resume_from else None
    chosen = broadcast_object_list([secrets.randbits(32) if seed is None else seed])[0]
    console.info("Seed: %d", chosen)
    return _with(config, "training", seed=chosen)


def _with(config: TrainConfig, group: str, **changed: object) -> TrainConfig:
    return config.model_copy(update={group: getattr(config, group).model_copy(update=changed)})


def _planned(config: TrainConfig, events: Events) -> planning.Plan:
    """Raises ConfigError with all that is wrong with the images."""
    plan = planning.make(config)
    problems = [problem for problem in plan.problems if problem.stops]
    if problems:
        raise ConfigError(problems)
    for notice in [*(p for p in config.relations() if not p.stops), *plan.problems]:
        events.write("notice", key=notice.key, message=notice.message)
    for notice in plan.problems:
        console.warning("Note: %s", notice)
    console.info("%s", plan.sum_text)
    events.write(
        "plan",
        total_steps=plan.total_steps,
        epochs=plan.epochs,
        batches_per_epoch=plan.batches_per_epoch,
        sum=plan.sum_text,
    )
    return plan


def _heart(run: RunFolder | None, progress: Progress) -> AbstractContextManager[object]:
    return Heartbeat(run, lambda: progress.step) if run is not None else nullcontext()
