"""Training the model itself: which of its parts, at which rates, and how its many weights fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar

from .block_weights import BLOCKS
from .method_kind import WHOLE, MethodKind
from .schema import AppliesTo, Ge, Group, Lt, Notice, Numbers, Problem, Ui

if TYPE_CHECKING:
    from .model_sizes import Sizes
    from .train_config import TrainConfig

TITLES = {"dreambooth": "DreamBooth", "finetune": "Fine-tuning"}
METHODS = tuple(TITLES)
FULL = AppliesTo(methods=METHODS)
NO_TEXT_ENCODER = "The text encoder is not trained, so it has no effect."
NOTHING_LEFT = "Only the text encoder is trained, so nothing would be left to train; leave this empty."
ONLY_WHICH_BLOCKS = "AdaFactor with relative_step finds one rate for everything, so it only says which are trained."
MUCH = 5e-5
"""Rates above this ruin most models, where the rate is not a factor on one that the optimizer finds."""


class FullConfig(Group):
    title: ClassVar[str] = "Full training"

    train_text_encoder: Annotated[bool | None, FULL, Ui(basic=True)] = None
    """Train the text encoder (both of SDXL) beside the U-Net. Empty: in DreamBooth yes, in fine-tuning no."""

    block_lr: Annotated[
        Numbers, AppliesTo(families=("sdxl",), methods=METHODS), Ui(label="Learning rates of blocks")
    ] = ()
    """A learning rate for each of the 23 blocks of SDXL's U-Net, from the embeddings over 9 blocks down, 3 in the
    middle and 9 up to the last layers. 0 leaves a block as it is. Empty: all have the U-Net's rate."""

    ema: Annotated[bool, FULL, Ui(label="Moving average (EMA)")] = False
    """Keep an average of the weights over the last steps beside them: it is what is saved and sampled, and is steadier
    than the weights themselves. Takes as much memory again as the trained weights."""

    ema_decay: Annotated[float, Ge(0), Lt(1), FULL, Ui(label="EMA decay", step=0.0001)] = 0.9999
    """How slowly the moving average follows: 0.9999 averages over about 10000 steps, 0.999 over 1000. In the first
    steps it follows faster."""

    fused_backward_pass: Annotated[bool, FULL] = False
    """Change each weight as soon as its gradient is there, so that gradients never lie in memory all at once. Each is
    clipped by itself. Not with accumulated gradients or fp16."""

    fused_optimizer_groups: Annotated[int | None, Ge(1), FULL] = None
    """The same with so many groups of weights, each changed when all its gradients are there: 4 to 10 save memory at
    little loss of speed. Empty: off."""

    @property
    def is_fused(self) -> bool:
        return self.fused_backward_pass or self.fused_optimizer_groups is not None

    def relations(self) -> Iterator[Problem]:
        if self.fused_backward_pass and self.fused_optimizer_groups is not None:
            yield Problem("fused_optimizer_groups", "fused_backward_pass is on too; use one of the two.")
        if not self.ema and self.ema_decay != type(self).model_fields["ema_decay"].default:
            yield Notice("ema_decay", "It has no effect unless ema is on.")
        if any(rate < 0 for rate in self.block_lr):
            yield Problem("block_lr", "A learning rate can't be negative; use 0 to leave a block as it is.")


def part_rates(config: TrainConfig) -> dict[str, float]:
    """Part of the model -> its learning rate, 0 where it is not trained."""
    optimizer = config.optimizer
    unet = optimizer.learning_rate if optimizer.unet_lr is None else optimizer.unet_lr
    parts = text_parts(config.family)
    given = optimizer.text_encoder_lr or (optimizer.learning_rate,)
    text = (*given, *given[-1:] * len(parts))[: len(parts)]
    is_trained = trains_text_encoder(config)
    return {"unet": unet, **{part: rate if is_trained else 0.0 for part, rate in zip(parts, text, strict=True)}}


def text_parts(family: str) -> tuple[str, ...]:
    return ("text_encoder", "text_encoder_2") if family == "sdxl" else ("text_encoder",)


def trains_text_encoder(config: TrainConfig) -> bool:
    """Whether the text encoder is to be trained at all, at whatever rate."""
    wanted = config.full.train_text_encoder
    if config.training.never_trains_text_encoder:
        return False
    return config.method == "dreambooth" if wanted is None else wanted


def problems_with(config: TrainConfig) -> Iterator[Problem]:
    """Of full training with the settings of other groups."""
    yield from _rate_problems(config)
    yield from _text_encoder_problems(config)
    if config.family == "sdxl":
        yield from _block_problems(config)
    if config.full.is_fused:
        yield from _fused_problems(config)


def _rate_problems(config: TrainConfig) -> Iterator[Problem]:
    rates, optimizer = part_rates(config), config.optimizer
    if not any(rates.values()) and not any(config.full.block_lr) and any(optimizer.rates):
        message = "It is 0 and the text encoder is not trained, so nothing would be trained; change one of them."
        yield Problem("unet_lr" if optimizer.unet_lr == 0 else "learning_rate", message)
    elif not rates["unet"] and not config.full.block_lr:
        yield Notice("unet_lr", "It is 0, so the U-Net stays as it is.")
    is_a_factor = optimizer.finds_its_rate or optimizer.is_relative_step
    if not is_a_factor and MUCH < max(rates.values()) < 1 and _changes_all_alike(optimizer.optimizer_type):
        message = f"{max(rates.values()):g} is much for a whole model; 1e-6 to 1e-5 is usual."
        yield Notice("learning_rate", message)


def _changes_all_alike(optimizer_type: str) -> bool:
    """Whether steps are as long as the rate says: those of SGD follow the gradients' length, so they need more."""
    return not optimizer_type.lower().startswith("sgd")


def _text_encoder_problems(config: TrainConfig) -> Iterator[Problem]:
    optimizer, training = config.optimizer, config.training
    count = len(text_parts(config.family))
    if len(optimizer.text_encoder_lr) > count:
        found, have = len(optimizer.text_encoder_lr), "one text encoder" if count == 1 else f"{count} text encoders"
        yield Problem("text_encoder_lr", f"It has {found} values, and the model has {have}; give {count} at most.")
    if not trains_text_encoder(config):
        if any(optimizer.text_encoder_lr):
            yield Notice("text_encoder_lr", NO_TEXT_ENCODER)
        if training.stop_text_encoder_training not in (None, 0, "0%"):
            yield Notice("stop_text_encoder_training", NO_TEXT_ENCODER)
        return
    rates = part_rates(config)
    if training.stop_text_encoder_training is not None and not any((rates["unet"], *config.full.block_lr)):
        yield Problem("stop_text_encoder_training", NOTHING_LEFT)
    for part, rate in rates.items():
        if part != "unet" and not rate:
            name = {"text_encoder_2": "second text encoder"}.get(
                part, "first text encoder" if count > 1 else "text encoder"
            )
            yield Notice("text_encoder_lr", f"It is 0, so the {name} stays as it is.")


def _block_problems(config: TrainConfig) -> Iterator[Problem]:
    rates, blocks = config.full.block_lr, BLOCKS["sdxl"].total
    if rates and len(rates) != blocks:
        yield Problem(
            "block_lr", f"It has {len(rates)} values, and the U-Net of SDXL has {blocks} blocks; give {blocks}."
        )
    if rates and config.optimizer.unet_lr is not None:
        yield Notice("unet_lr", "block_lr gives each block its own rate, so it has no effect.")
    if len({rate for rate in rates if rate}) < 2:
        return
    if config.optimizer.is_relative_step:
        yield Notice("block_lr", ONLY_WHICH_BLOCKS)
    elif config.optimizer.finds_its_rate:
        message = f"{config.optimizer.optimizer_type} finds one rate for everything; give all blocks the same, or 0."
        yield Problem("block_lr", message)


def _fused_problems(config: TrainConfig) -> Iterator[Problem]:
    key = "fused_backward_pass" if config.full.fused_backward_pass else "fused_optimizer_groups"
    if config.training.gradient_accumulation_steps > 1:
        message = "It changes weights with every batch, so gradient_accumulation_steps must be 1; change one of them."
        yield Problem(key, message)
    if config.optimizer.finds_its_rate:
        kind = config.optimizer.optimizer_type
        message = f"{kind} needs all gradients at once to find its rate; choose another optimizer or turn this off."
        yield Problem(key, message)
    if config.precision.mixed_precision == "fp16":
        yield Problem(key, "fp16 scales all gradients at once, which it can't do; choose bf16 or turn this off.")


def changes_texts(config: TrainConfig) -> bool:
    return any(rate for part, rate in part_rates(config).items() if part != "unet")


def whole_parts(config: TrainConfig) -> tuple[str, ...]:
    trained = part_rates(config)
    trained["unet"] = max(config.full.block_lr, default=trained["unet"])
    return tuple(part for part, rate in trained.items() if rate)


def trained_numbers(config: TrainConfig, sizes: Sizes) -> int:
    return sum(sizes.parts[part].parameters for part in whole_parts(config) if part in sizes.parts)


KINDS = tuple(
    MethodKind(
        name=name,
        title=title,
        method="full:FullMethod",
        saves="A whole model",
        formats=WHOLE,
        problems=problems_with,
        changes_texts=changes_texts,
        way_out="turn train_text_encoder off, or this",
        trained_numbers=trained_numbers,
        whole_parts=whole_parts,
    )
    for name, title in TITLES.items()
)
