"""What a run will need: room on the disk, memory of the device, time. Told before it starts, without torch.

All of it is about so: the sums count what is known and leave out what an allocator, a driver or a library takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from . import history, sizes
from .config.model_sizes import Sizes
from .config.precision import PrecisionConfig
from .config.saving import SavingConfig
from .config.train_config import TrainConfig
from .data.records import PlannedDataset
from .plan import Plan

SINGLE, HALF, BYTE = 4, 2, 1  # bytes of a number
LATENT_CHANNELS = 4

SAVED_PER_CHANNEL = {"sd1": 353, "sd2": 353, "sdxl": 643}
CHECKPOINTED_PER_CHANNEL = {"sd1": 75, "sd2": 75, "sdxl": 70}
AUTOCAST_BYTES = 3  # of a number that is kept for going back: half of them stay in 32 bits (norms, softmax)
VAE_CHANNELS, VAE_COPIES = 128, 4

OPTIMIZER_BYTES = {
    "adamw": 8, "adamw8bit": 2, "pagedadamw": 8, "pagedadamw8bit": 2, "pagedadamw32bit": 8, "adamwschedulefree": 8,
    "radamschedulefree": 8, "sgdschedulefree": 4, "lion": 4, "lion8bit": 1, "pagedlion8bit": 1, "sgdnesterov": 4,
    "sgdnesterov8bit": 1, "adafactor": 0, "prodigy": 16, "dadaptation": 12, "dadaptadam": 12, "dadaptlion": 8,
}  # fmt: skip
"""What an optimizer remembers of each trained number. Of those that aren't here, as AdamW."""


@dataclass(frozen=True)
class Disk:
    """file, state: bytes of one. files, states: how many there are at most at the same time. latents: of the cache."""

    file: int
    files: int
    state: int
    states: int
    latents: int

    @property
    def bytes(self) -> int:
        return self.file * self.files + self.state * self.states + self.latents


@dataclass(frozen=True)
class Memory:
    """Bytes on the device. model: weights that are only used. trained: those that are learned, their gradients, and
    what the optimizer remembers. pictures: what a batch needs on its way."""

    model: int
    trained: int
    pictures: int

    @property
    def bytes(self) -> int:
        return self.model + self.trained + self.pictures


@dataclass(frozen=True)
class Estimate:
    """trained: how many numbers are learned. disk, memory: None where that can't be told. seconds: without samples."""

    trained: int | None
    disk: Disk | None
    memory: Memory | None
    pace: history.Pace | None
    seconds: float | None


def of(config: TrainConfig, plan: Plan, runs: Path | None = None) -> Estimate:
    """runs: the folder of earlier runs' folders."""
    found = _sizes(config.model.pretrained_model_name_or_path, config.family)
    trained = config.method_kind.trained_numbers(config, found)
    pace = history.pace(config, runs)
    return Estimate(
        trained,
        None if trained is None else disk(config, plan, found, trained),
        None if trained is None else memory(config, plan, found, trained),
        pace,
        plan.total_steps / pace.per_second if pace else None,
    )


@lru_cache(maxsize=8)
def _sizes(name: str, family: str) -> Sizes:
    return sizes.of_model(name, family)


# Disk


def disk(config: TrainConfig, plan: Plan, found: Sizes, trained: int) -> Disk:
    """A network's file holds what is learned, a model's file the whole model. A state holds the learned numbers and
    what the optimizer remembers of them."""
    saving = config.saving
    number = {"float": SINGLE, "fp16": HALF, "bf16": HALF}.get(saving.save_precision or "", _trained_bytes(config))
    written = found.parameters if config.method_kind.whole_parts(config) else trained
    each = SINGLE + average_bytes(config) + optimizer_bytes(config)
    state = trained * each if saving.save_state or saving.save_state_on_train_end else 0
    files, states = kept(saving, plan)
    return Disk(written * number, files, state, states, latents(plan, found.vae_factor))


def kept(saving: SavingConfig, plan: Plan) -> tuple[int, int]:
    """Files and states that lie there at the end, the trained one included."""
    every = max(1, plan.epochs // saving.save_n_epoch_ratio) if saving.save_n_epoch_ratio else None
    every = every or saving.save_every_n_epochs
    epochs = (plan.epochs - 1) // every if every else 0
    steps = plan.total_steps // saving.save_every_n_steps if saving.save_every_n_steps else 0

    def left(by_epochs: int | None, by_steps: int | None) -> int:
        at_steps = steps
        if saving.save_every_n_steps and by_steps is not None:
            at_steps = min(steps, by_steps // saving.save_every_n_steps + 1)
        return (epochs if by_epochs is None else min(epochs, by_epochs)) + at_steps

    files = left(saving.save_last_n_epochs, saving.save_last_n_steps) + 1
    states = left(
        saving.save_last_n_epochs_state or saving.save_last_n_epochs,
        saving.save_last_n_steps_state or saving.save_last_n_steps,
    )
    if not saving.save_state:
        states = 0
    return files, states + (saving.save_state or saving.save_state_on_train_end)


def latents(plan: Plan, factor: int) -> int:
    """Each image's latents in 32 bits, mirrored too where pictures are."""
    return sum(_latents(data, factor) for data in plan.datasets if data.config.cache_latents_to_disk)


def _latents(data: PlannedDataset, factor: int) -> int:
    pixels = sum(record.bucket[0] * record.bucket[1] for record in (*data.records, *data.validation))
    return pixels // factor**2 * LATENT_CHANNELS * SINGLE * (2 if data.config.flip_aug else 1)


# Memory


def memory(config: TrainConfig, plan: Plan, found: Sizes, trained: int) -> Memory:
    """model = numbers of the frozen parts x bytes of the type they are computed in; a VAE whose latents are cached is
    not there, nor are text encoders whose outputs are. trained = numbers learned x (weight + gradient + optimizer, and
    where they are asked for: average, copies in half precision). pictures: see `pictures`."""
    whole = config.method_kind.whole_parts(config)
    absent = set(found.text_encoders) if config.captions.caches_texts else set()
    if all(data.config.caches_latents for data in plan.datasets):
        absent.add("vae")
    frozen = {name: part for name, part in found.parts.items() if name not in whole and name not in absent}
    model = sum(part.parameters * _frozen_bytes(config.precision, name) for name, part in frozen.items())
    number = _trained_bytes(config)
    copies = HALF if whole and number == SINGLE and config.precision.mixed_precision != "no" else 0
    gradient = 0 if whole and config.full.is_fused else number
    each = number + gradient + average_bytes(config) + copies + optimizer_bytes(config)
    return Memory(model, trained * each, pictures(config, plan, found))


def pictures(config: TrainConfig, plan: Plan, found: Sizes) -> int:
    """The larger of two moments. Training: batch x latents x width of the U-Net x numbers that are kept for going back.
    Encoding: pixels of the VAE's first level in some copies.

    The numbers per latent and channel are those that the networks of each family keep with SDPA attention, counted from
    the tensors that autograd saves. With gradient checkpointing one block's are held besides what lies between blocks.
    """
    family, width = config.family, found.parts["unet"].width
    per = (CHECKPOINTED_PER_CHANNEL if config.precision.gradient_checkpointing else SAVED_PER_CHANNEL)[family]
    number = SINGLE if config.precision.mixed_precision == "no" else AUTOCAST_BYTES
    most_training, most_encoding = 0, 0
    for data in plan.datasets:
        pixels = max((size[0] * size[1] for size in data.buckets), default=0)
        most_training = max(most_training, data.batch_size * pixels // found.vae_factor**2 * per * width * number)
        at_once = config.dataset.vae_batch_size if data.config.caches_latents else data.batch_size
        most_encoding = max(most_encoding, at_once * pixels * VAE_CHANNELS * VAE_COPIES * _vae_bytes(config))
    return max(most_training, most_encoding)


def average_bytes(config: TrainConfig) -> int:
    """The moving average is kept in 32 bits whatever the weights are."""
    return SINGLE if config.full.ema and config.method_kind.whole_parts(config) else 0


def optimizer_bytes(config: TrainConfig) -> int:
    name = config.optimizer.optimizer_type.rpartition(".")[2].lower()
    return OPTIMIZER_BYTES.get(name, OPTIMIZER_BYTES["adamw"])


def _trained_bytes(config: TrainConfig) -> int:
    return HALF if config.precision.full_fp16 or config.precision.full_bf16 else SINGLE


def _frozen_bytes(precision: PrecisionConfig, part: str) -> int:
    if part != "vae" and (precision.fp8_base or (precision.fp8_base_unet and part == "unet")):
        return BYTE
    return SINGLE if precision.mixed_precision == "no" else HALF


def _vae_bytes(config: TrainConfig) -> int:
    return SINGLE if config.model.no_half_vae or config.precision.mixed_precision == "no" else HALF
