"""TrainConfig -> the parts of a training, put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from .. import methods
from ..config.optimizer import steps_of
from ..config.train_config import TrainConfig
from ..config.training import TrainingConfig
from ..data import dataset
from ..data.cache import World
from ..data.dataset import Batches
from ..events import RunFolder
from ..families import load_family
from ..families.base import ModelFamily
from ..methods.base import Method
from ..objective import Objective
from ..optim import fused, optimizers, schedules
from ..plan import Plan
from . import facts, latents, memory, texts
from .checkpoints import Checkpoints
from .control import Control
from .hub import Uploader
from .logging import Log
from .loop import Rules, Trainer
from .progress import Progress
from .rest import Rest, at_rest
from .sampling import Drawing, Sampler
from .state import Shape, State
from .validation import Validation, timesteps


@dataclass(frozen=True)
class Parts:
    """What is there before anything is loaded."""

    config: TrainConfig
    plan: Plan
    run: RunFolder | None
    accelerator: Accelerator
    control: Control
    log: Log
    progress: Progress
    resume_from: Path | None

    @property
    def seed(self) -> int:
        assert self.config.training.seed is not None
        return self.config.training.seed


def build(parts: Parts) -> Trainer:
    """Loads, caches, and puts everything together. Raises UserError."""
    config, log = parts.config, parts.log
    log.state("loading", f"Loading {config.model.pretrained_model_name_or_path}")
    family = _family(parts)
    method = methods.create(config, family, parts.seed).to(parts.accelerator.device)
    memory.set_up(config.precision, family, method.freezes_model)
    log.notices(method.notices)
    optimizer = _optimizer(parts, method)
    schedule = schedules.create(optimizer.optimizer, config.optimizer, parts.plan.total_steps, parts.plan.warmup_steps)
    batches, held_out = _batches(parts, family)
    _keep_texts(parts, family)
    memory.compile_unet(config.precision, family.unet)
    memory.allow_fp16_gradients(config.precision, parts.accelerator.scaler)
    method.facts = facts.of_training(config, parts.plan, optimizer.optimizer, parts.accelerator.num_processes)
    shape = Shape(
        parts.seed, batches.per_epoch, config.training.gradient_accumulation_steps, parts.accelerator.num_processes
    )
    log.watch(optimizer, parts.plan.total_steps, shape.steps_per_epoch)
    log.trains(memory.in_words(parts.accelerator.device, config.precision))
    begin(parts.progress, config.training, shape)
    objective = Objective(config.noise, config.loss, _alphas_cumprod(family), family.prediction_type)
    rest = at_rest(method, optimizer)
    return Trainer(
        rules=_rules(parts, method),
        accelerator=parts.accelerator,
        family=family,
        method=method,
        objective=objective,
        batches=batches,
        optimizer=optimizer,
        schedule=schedule,
        checkpoints=_checkpoints(
            parts, State(shape, method, optimizer, schedule, parts.accelerator.scaler, log.notice), rest
        ),
        sampler=_sampler(parts, family, rest),
        validation=_validation(parts, method, objective, held_out, rest),
        log=log,
        control=parts.control,
        progress=parts.progress,
        offload=memory.offloading(config.precision, parts.accelerator.device),
    )


def begin(progress: Progress, training: TrainingConfig, shape: Shape) -> None:
    """Where counting begins; a state that is resumed says it better afterwards."""
    step = training.first_step(shape.steps_per_epoch)
    progress.epoch, rest = divmod(step, shape.steps_per_epoch)
    if training.skip_until_initial_step:
        progress.step, progress.batches = step, rest * shape.accumulate


def _family(parts: Parts) -> ModelFamily:
    from transformers.utils.logging import disable_progress_bar

    config = parts.config
    disable_progress_bar()  # a bar for each small file only clutters the log
    family = load_family(config.model, methods.kind(config.method).loading(config.precision))
    parts.log.notices(family.notices)
    family.vae_batch_size = config.dataset.vae_batch_size
    parts.control.check()
    return family.to(parts.accelerator.device)


def _optimizer(parts: Parts, method: Method) -> Any:
    config, groups = parts.config.optimizer, method.trainable_groups()
    if method.fused_parts is None:
        made: Any = optimizers.create(groups, config)
    else:
        made = fused.create(groups, config, method.fused_parts, config.max_grad_norm, _share(parts.accelerator))
    optimizer = parts.accelerator.prepare_optimizer(made, device_placement=False)
    optimizers.train_mode(made)
    return optimizer


def _share(accelerator: Accelerator) -> fused.Share | None:
    if accelerator.num_processes == 1:
        return None
    return lambda gradient: accelerator.reduce(gradient, reduction="mean")


def _batches(parts: Parts, family: ModelFamily) -> tuple[Batches, Batches | None]:
    """Of training, and of validation where some images are held out."""
    config, plan, accelerator = parts.config, parts.plan, parts.accelerator
    world = World(accelerator.process_index, accelerator.num_processes, accelerator.wait_for_everyone)
    if config.dataset.caches_latents:
        parts.log.state("caching")
    kept = latents.filled(family, config.dataset, dataset.records_of(plan), _reporting(parts, "latents"), world)
    if kept is not None:
        family.vae.to("cpu")  # from now on only samples need it
        memory.hand_back(config.precision)
    return dataset.build(config, plan, kept, world), dataset.build_validation(config, plan, kept, world)


def _keep_texts(parts: Parts, family: ModelFamily) -> None:
    config, accelerator = parts.config, parts.accelerator
    if not config.captions.caches_texts:
        return
    parts.log.state("caching")
    world = World(accelerator.process_index, accelerator.num_processes, accelerator.wait_for_everyone)
    with accelerator.autocast():
        texts.keep(family, config.captions, dataset.records_of(parts.plan), _reporting(parts, "captions"), world)
    memory.hand_back(config.precision)


def _reporting(parts: Parts, what: str) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        parts.control.check()
        parts.log.work(f"caching {what}", done, total)

    return report


def _alphas_cumprod(family: ModelFamily) -> torch.Tensor:
    from diffusers import DDPMScheduler

    return DDPMScheduler(**family.noise_schedule).alphas_cumprod


def _rules(parts: Parts, method: Method) -> Rules:
    training = parts.config.training
    stop = training.stop_text_encoder_training
    return Rules(
        seed=parts.seed,
        total_steps=parts.plan.total_steps,
        accumulate=training.gradient_accumulation_steps,
        max_grad_norm=parts.config.optimizer.max_grad_norm,
        in_backward=method.fused_parts is not None,
        stop_text_encoder_after=None if stop is None else steps_of(stop, parts.plan.total_steps),
    )


def _checkpoints(parts: Parts, state: State, rest: Rest) -> Checkpoints:
    saving = parts.config.saving
    writes = parts.accelerator.is_main_process
    uploader = Uploader(saving, parts.log.notice) if saving.huggingface_repo_id and writes else None
    if uploader:
        uploader.prepare()
    return Checkpoints(
        saving=saving,
        epochs=parts.plan.epochs,
        total_steps=parts.plan.total_steps,
        state=state,
        rest=rest,
        control=parts.control,
        log=parts.log,
        writes=writes,
        uploader=uploader,
        resume_from=parts.resume_from,
    )


def _sampler(parts: Parts, family: ModelFamily, rest: Rest) -> Sampler:
    config = parts.config
    width, height = parts.plan.datasets[0].config.size
    return Sampler(
        config=config.sampling,
        drawing=Drawing(width, height, parts.seed, config.sampling.sample_sampler, config.noise.zero_terminal_snr),
        family=family,
        rest=rest,
        control=parts.control,
        log=parts.log,
        folder=Path(config.saving.output_dir) / "sample",
        run=parts.run,
        output_name=config.saving.output_name,
        wait=parts.accelerator.wait_for_everyone,
        autocast=parts.accelerator.autocast,
    )


def _validation(parts: Parts, method: Method, objective: Objective, batches: Any, rest: Rest) -> Validation:
    training, noise = parts.config.training, parts.config.noise
    return Validation(
        training=training,
        seed=training.validation_seed if training.validation_seed is not None else parts.seed,
        timesteps=timesteps(noise.min_timestep, noise.max_timestep),
        batches=batches,
        family=method.family,
        method=method,
        objective=objective,
        rest=rest,
        autocast=parts.accelerator.autocast,
        average=lambda loss: parts.accelerator.reduce(loss, reduction="mean"),
        log=parts.log,
    )
