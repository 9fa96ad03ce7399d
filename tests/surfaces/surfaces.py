"""Where the effect of a setting can be seen: name of a surface -> what it looks like under the settings."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from contextlib import nullcontext
from dataclasses import asdict
from itertools import islice
from typing import Any

import torch
from observing import Seen, Surface

SURFACES: dict[str, Surface] = {}
STEPS, EPOCHS = 12, 4
"""Of the runs that savers, samplers and schedules are led through."""


def surface(look: Surface) -> Surface:
    SURFACES[look.__name__] = look
    return look


def digest(tensor: torch.Tensor | None) -> str:
    if tensor is None:
        return "none"
    raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return f"{tuple(tensor.shape)} {tensor.dtype} {hashlib.blake2b(raw, digest_size=8).hexdigest()}"


def gist(tensor: torch.Tensor | None) -> str:
    """As `digest`, but the same for numbers that differ by rounding alone."""
    if tensor is None:
        return "none"
    flat = tensor.detach().cpu().flatten().double()
    weights = torch.randn(len(flat), generator=torch.Generator().manual_seed(0), dtype=torch.double)
    return f"{tuple(tensor.shape)} {tensor.dtype} {flat @ weights / max(1, len(flat)) ** 0.5:.3f}"


@surface
def images(seen: Seen) -> Any:
    """Which pictures are trained how often and in which size, and which are held out."""
    return [
        (
            [
                (r.path.name, r.captions, r.repeats, r.bucket, r.resize_to, r.crop, r.is_reg, r.mask_path is not None)
                for records in (data.records, data.validation)
                for r in records
            ],
            len(data.validation),
            data.batch_size,
        )
        for data in seen.parts.plan.datasets
    ]


@surface
def steps(seen: Seen) -> Any:
    plan = seen.parts.plan
    return plan.total_steps, plan.epochs, plan.warmup_steps, plan.batches_per_epoch, plan.processes


@surface
def batches(seen: Seen) -> Any:
    """Two epochs as the network is shown them."""
    made = seen.trainer.batches
    return [
        (
            batch.captions, digest(batch.pixels_BCHW), gist(batch.latents_BCHW), batch.weights_B.tolist(),
            digest(batch.masks_B1HW), [key.rpartition("/")[2] for key in batch.image_keys],
        )
        for batch in islice(made.after(0, 0), 2 * made.per_epoch)
    ]  # fmt: skip


@surface
def loading(seen: Seen) -> Any:
    return seen.noted("loaders")


@surface
def caching(seen: Seen) -> Any:
    """What is encoded before the first step, and the files that lie beside the images then."""
    return seen.noted("encoded", "read"), sorted(file.name for file in (seen.scene.images / "2_thing").iterdir())


@surface
def model(seen: Seen) -> Any:
    family = seen.trainer.family
    networks = [family.unet, family.vae, *family.text_encoders]
    attention = {type(one).__name__ for network in networks[:2] for one in network.attn_processors.values()}
    weights = [digest(next(iter(network.parameters()))) for network in networks]
    notices = [(notice.key, notice.message) for notice in family.notices]
    return type(family).__name__, family.name, family.prediction_type, weights, attention, notices


@surface
def text(seen: Seen) -> Any:
    """What the networks are told by an emphasized, a short and a long caption."""
    family = seen.trainer.family
    return [gist(family.condition([words]).text_BTC) for words in ("a (red:1.3) ball", "cat", "word " * 200)]


@surface
def network(seen: Seen) -> Any:
    """What is trained, and what the model makes of it when it is more than nothing."""
    method, family = seen.trainer.method, seen.trainer.family
    state = method.state_dict()
    shapes = [(name, tuple(tensor.shape), tensor.dtype) for name, tensor in state.items()]
    trained = [(tuple(parameter.shape), digest(parameter)) for parameter in method.parameters()]
    method.train_mode()
    _fill(method)
    torch.manual_seed(0)
    noisy = torch.randn((2, 4, 8, 8))
    condition = family.condition(["a ball", "a tree"])
    with torch.no_grad():
        predicted = family.predict(noisy, torch.tensor([500, 20]), condition)
    return shapes, trained, gist(predicted)


def _fill(method: Any) -> None:
    torch.manual_seed(1)
    for parameter in method.parameters():
        parameter.data = torch.randn(parameter.shape).to(parameter.dtype) * 0.5


@surface
def after_steps(seen: Seen) -> Any:
    """What the method does to its weights after each step."""
    method = seen.trainer.method
    _fill(method)
    before = [parameter.clone() for parameter in method.parameters()]
    figures = method.after_step()
    kept = [torch.equal(*pair) for pair in zip(before, method.parameters(), strict=True)]
    averages = [digest(value) for name, value in method.state_dict().items() if name.startswith("ema.")]
    return sorted(figures), all(kept), averages


@surface
def optimizer(seen: Seen) -> Any:
    made = getattr(seen.trainer.optimizer, "optimizer", seen.trainer.optimizer)
    groups = [{name: value for name, value in group.items() if name != "params"} for group in made.param_groups]
    return type(made).__name__, groups


@surface
def rates(seen: Seen) -> Any:
    made = []
    for _ in range(STEPS):
        seen.trainer.optimizer.step()
        seen.trainer.schedule.step()
        made.append(list(seen.trainer.schedule.get_last_lr()))
    return type(seen.trainer.schedule).__name__, made


@surface
def objective(seen: Seen) -> Any:
    """Noise and loss for fixed latents and a fixed prediction."""
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn((4, 4, 8, 8), generator=generator) + 0.5
    noisy = seen.trainer.objective.disturb(latents, generator)
    masks = torch.linspace(0, 1, 4 * 32 * 32).view(4, 1, 32, 32)
    losses = [
        seen.trainer.objective.loss(torch.zeros_like(latents), noisy, mask, torch.ones(4)).item()
        for mask in (None, masks)
    ]
    return digest(noisy.latents_BCHW), noisy.timesteps_B.tolist(), digest(noisy.target_BCHW), losses


@surface
def rules(seen: Seen) -> Any:
    progress = seen.trainer.progress
    return asdict(seen.trainer.rules), (progress.step, progress.epoch, progress.batches)


@surface
def samples(seen: Seen) -> Any:
    """When pictures are drawn, of what, and how."""
    from sd_scripts.training import prompts, samplers
    from sd_scripts.training.progress import Progress

    sampler, drawn = seen.trainer.sampler, []
    sampler._draw_all = lambda progress, by_epoch: drawn.append((progress.step, by_epoch))
    sampler.before_training(Progress())
    for progress, ended in course():
        sampler.maybe(progress, ended)
    asked = prompts.read(seen.config.sampling.sample_prompts) if seen.config.sampling.sample_prompts else []
    how = sampler.drawing
    family = seen.trainer.family
    scheduler = samplers.create(how.sampler, family.noise_schedule, family.prediction_type, how.zero_terminal_snr)
    return drawn, asked, asdict(how), type(scheduler).__name__


@surface
def validation(seen: Seen) -> Any:
    made = seen.trainer.validation
    measured: list[Any] = []
    if made.batches is not None:
        made._loss = lambda batch, t: measured.append((batch.captions, t)) or torch.zeros(())
        made.measure()
    return [p.step for p, ended in course() if made.batches and made._due(p, ended)], measured, made.seed


def course() -> Any:
    """Progress after each step of a short run, and whether an epoch ended with it."""
    from sd_scripts.training.progress import Progress

    per_epoch = STEPS // EPOCHS
    for step in range(1, STEPS + 1):
        ended = step % per_epoch == 0
        yield Progress(step=step, epoch=step // per_epoch, batches=0 if ended else step % per_epoch), ended


@surface
def file(seen: Seen) -> Any:
    """The trained file's kind and numbers."""
    saved = seen.scene.root / f"trained{seen.config.saving.extension}"
    seen.trainer.method.save(saved, next(course())[0])
    saved = seen.trainer.method.files(saved)[0]
    start = saved.read_bytes()[:4]
    return start == b"PK\x03\x04", {dtype for dtype in re.findall(rb'"dtype":"(\w+)"', saved.read_bytes())}


@surface
def metadata(seen: Seen) -> Any:
    """What the trained file tells, but for times and hashes. It may tell of any setting."""
    if not hasattr(seen.trainer.method, "metadata"):
        return None
    fields = seen.trainer.method.metadata({}, next(course())[0])
    return sorted((name, value) for name, value in fields.items() if not re.search("hash|date|_at$|time|session", name))


@surface
def saves(seen: Seen) -> Any:
    """Which files a run leaves."""
    checkpoints = seen.trainer.checkpoints
    checkpoints.epochs, checkpoints.total_steps, checkpoints.rest = EPOCHS, STEPS, nullcontext
    checkpoints.state.method.save = lambda path, progress: (path.touch(), seen.note("files", path.name))
    checkpoints.state.save = lambda folder, progress: (folder.mkdir(), (folder / "kept").touch())
    for progress, ended in course():
        checkpoints.maybe(progress, ended)
    checkpoints.final(progress, True)
    files = sorted(str(f.relative_to(checkpoints.folder)) for f in checkpoints.folder.rglob("*") if f.is_file())
    return checkpoints.folder.name, files, seen.noted("files")


@surface
def resuming(seen: Seen) -> Any:
    from sd_scripts.training import run

    before = len(seen.noted("files")[0])
    found = run._state_to_resume(seen.config.saving)
    return found and found.name, seen.noted("files")[0][before:]


@surface
def processes(seen: Seen) -> Any:
    """How they are started, and what they compute in."""
    from sd_scripts.events import RunFolder
    from sd_scripts.training import launch

    accelerator = seen.parts.accelerator
    secrets = {"HF_TOKEN", "WANDB_API_KEY"}
    told = {key: value for key, value in launch.environment(seen.config).items() if key in secrets}
    chosen = {key: os.environ.get(key) for key in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")}
    waits = accelerator.init_handler.timeout if accelerator.init_handler else None
    words = launch.command(seen.config, RunFolder("run"))
    return words, told, chosen, waits, accelerator.mixed_precision, seen.config.launch.spans_processes


@surface
def memory(seen: Seen) -> Any:
    """What is done to need less of it."""
    family, trainer = seen.trainer.family, seen.trainer
    networks = [family.unet, *family.text_encoders]
    recomputed = [sum(getattr(m, "gradient_checkpointing", False) is True for m in n.modules()) for n in networks]
    kinds = [{p.dtype for p in network.parameters()} for network in (*networks, family.vae)]
    kinds_sorted = [sorted(map(str, kind)) for kind in kinds]
    trained = {str(p.dtype) for p in trainer.method.parameters()}
    return (
        recomputed,
        kinds_sorted,
        trained,
        type(trainer.offload).__name__,
        seen.noted("compiled", "memory handed back", "read to"),
    )


@surface
def logs(seen: Seen) -> Any:
    folder = seen.parts.accelerator.project_dir
    place = re.sub(r"\d{14}$", "", str(folder)) if folder else None
    kinds = [str(kind) for kind in seen.parts.accelerator.log_with]
    console = logging.getLogger("sd_scripts")
    files = [getattr(handler, "baseFilename", "") for handler in console.handlers]
    return kinds, place, seen.noted("trackers"), console.level, files, os.environ.get("WANDB_API_KEY")


@surface
def run(seen: Seen) -> Any:
    return seen.noted("run folder", "what is done")
