"""How weights are changed by what is learned: optimizer, learning rates, and their course over the run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator

from .schema import Aliases, AppliesTo, Ge, Group, Gt, Le, Notice, Numbers, Problem, Ui, Words, nearest

OPTIMIZERS = (
    "AdamW", "AdamW8bit", "PagedAdamW", "PagedAdamW8bit", "PagedAdamW32bit", "AdamWScheduleFree", "AdaFactor",
    "Lion", "Lion8bit", "PagedLion8bit", "Prodigy", "DAdaptation", "DAdaptAdam", "DAdaptAdamPreprint", "DAdaptAdaGrad",
    "DAdaptAdan", "DAdaptAdanIP", "DAdaptLion", "DAdaptSGD", "SGDNesterov", "SGDNesterov8bit", "RAdamScheduleFree",
    "SGDScheduleFree",
)  # fmt: skip
"""Names with a meaning of our own; any class of torch.optim and any module.Class works beside them."""
OTHER_OPTIMIZERS = (
    "bitsandbytes.optim.AdEMAMix8bit", "bitsandbytes.optim.PagedAdEMAMix8bit", "prodigyplus.ProdigyPlusScheduleFree",
    "pytorch_optimizer.CAME",
)  # fmt: skip

TORCH_OPTIMIZERS = (
    "Adadelta", "Adagrad", "Adam", "Adamax", "ASGD", "Muon", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD",
)  # fmt: skip
"""Classes of torch.optim that go by their bare names."""

SCHEDULES = Literal[
    "constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial", "inverse_sqrt",
    "cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay", "piecewise_constant", "adafactor",
]  # fmt: skip
WITH_MIN_LR = ("cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay")
WITH_CYCLES = ("cosine_with_restarts", "cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay")

FINDS_ITS_RATE = ("dadapt", "prodigy")
"""How the names begin of optimizers that find the learning rate themselves and take ours as a factor on it."""

_NEXT_ARGUMENT = re.compile(r"[\s,;]+(?=[A-Za-z_]\w*\s*=(?!=))")
_WORDS_OF_VALUES = {"true": True, "false": False, "none": None, "null": None, "inf": float("inf")}


def _arguments(value: object) -> object:
    """`a=1 b=(2, 3)`, on one line or many, or a list cut anywhere -> one text for each argument."""
    if isinstance(value, list | tuple):
        value = " ".join(map(str, value))
    if not isinstance(value, str):
        return value
    return [word.strip() for word in _NEXT_ARGUMENT.split(value.strip().strip(",;")) if word.strip()]


def read_arguments(words: Iterable[str]) -> dict[str, Any]:
    """`("betas=(0.9, 0.99)", "nesterov=true")` -> {"betas": (0.9, 0.99), "nesterov": True}.

    Raises ValueError with a sentence for a word that is no key=value, and for a value that can't be read.
    """
    read: dict[str, Any] = {}
    for word in words:
        key, equals, text = (part.strip() for part in word.partition("="))
        if not equals or not key.isidentifier():
            raise ValueError(f"{word!r} is not written as name=value.")
        read[key] = _value(key, text)
    return read


def _value(key: str, text: str) -> Any:
    if text.lower() in _WORDS_OF_VALUES:
        return _WORDS_OF_VALUES[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        wanted = "a number, true, false, none, a list in brackets, or a text in quotes"
        raise ValueError(f"The value of {key} is {text or 'empty'}; it must be {wanted}.") from None


def _readable(words: tuple[str, ...]) -> tuple[str, ...]:
    read_arguments(words)
    return words


Arguments = Annotated[Words, BeforeValidator(_arguments), AfterValidator(_readable)]
"""name=value words for a class we don't know."""


def _steps(value: object) -> object:
    """Texts as flags bring them: `100` and `0.1` become numbers, `10%` stays. Raises ValueError with a sentence."""
    text = str(value).strip()
    try:
        number = float(text.rstrip("%"))
    except ValueError:
        number = -1.0
    is_whole, is_percent = number.is_integer(), text.endswith("%")
    is_in_range = 0 <= number <= 100 if is_percent else 0 <= number < 1 or (number > 0 and is_whole)
    if isinstance(value, bool) or not is_in_range:
        wanted = "a number of steps like 100, a share of the run below 1 like 0.1, or a percentage like 10%"
        raise ValueError(f"{value!r} is not {wanted}.")
    if is_percent:
        return f"{number:g}%"
    return int(number) if is_whole else number


Steps = Annotated[int | float | str, BeforeValidator(_steps)]
"""A number of steps, or a share of all steps: below 1, or in percent."""


def steps_of(value: int | float | str, total_steps: int) -> int:
    """The whole number of steps that a `Steps` value means in a run of `total_steps`; shares are rounded down."""
    if isinstance(value, str):
        return int(float(value.rstrip("%")) * total_steps / 100)
    return int(value * total_steps) if isinstance(value, float) else value


OF_PARTS = AppliesTo(methods=("lora", "dreambooth", "finetune"))
"""Methods that train the U-Net and the text encoder."""


class OptimizerConfig(Group):
    title: ClassVar[str] = "Optimizer"

    optimizer_type: Annotated[
        str,
        Aliases("optimizer"),
        Ui(label="Optimizer", basic=True, choices=(*OPTIMIZERS, *OTHER_OPTIMIZERS, *TORCH_OPTIMIZERS)),
    ] = "AdamW"
    """What turns gradients into changes. AdamW is the safe choice and AdamW8bit the same in less memory; Prodigy and
    DAdaptation find the learning rate themselves. Any class of torch.optim, or module.Class, works too."""

    learning_rate: Annotated[float, Ge(0), Ui(basic=True)] = 1e-4
    """How much each step changes. 1e-4 is usual for a LoRA, 1e-6 to 1e-5 for a whole model, 5e-4 to 5e-3 for new
    words, and 1 for Prodigy and DAdaptation. (The command line of kohya's engine begins with 2e-6; ours with 1e-4.)"""

    unet_lr: Annotated[float | None, Ge(0), OF_PARTS, Ui(label="U-Net learning rate", basic=True)] = None
    """The learning rate of the U-Net. Empty takes learning_rate; 0 leaves the U-Net as it is."""

    text_encoder_lr: Annotated[
        Numbers, Aliases("learning_rate_te"), OF_PARTS, Ui(label="Text encoder learning rate", basic=True)
    ] = ()
    """The learning rate of the text encoder, usually half that of the U-Net, or one for each text encoder. Empty takes
    learning_rate; 0 leaves the text encoder as it is."""

    optimizer_args: Annotated[Arguments, Ui(label="Optimizer arguments", lines=2)] = ()
    """More arguments for the optimizer, as name=value: weight_decay=0.01 betas=(0.9, 0.99). Empty takes its own
    defaults."""

    max_grad_norm: Annotated[float, Ge(0), Ui(step=0.1)] = 1.0
    """Shorten gradients that are longer than this, so that one odd image can't spoil the weights. 1 is usual; 0 turns
    it off."""

    lr_scheduler: Annotated[SCHEDULES, Ui(label="Learning rate schedule", basic=True)] = "constant"
    """The course of the learning rate over the run. constant keeps it; cosine and linear let it fall to 0, which often
    gives the cleanest result."""

    lr_warmup_steps: Annotated[Steps, Ui(label="Learning rate warm-up steps", basic=True)] = 0
    """Let the learning rate rise from 0 over so many steps, or over a share of the run: 0.1 or 10%. 5% to 10% is
    usual; 0 turns it off."""

    lr_decay_steps: Annotated[Steps, Ui(label="Learning rate decay steps")] = 0
    """How many of the last steps, or which share of the run, the schedule warmup_stable_decay spends falling."""

    lr_scheduler_num_cycles: Annotated[int, Ge(1), Ui(label="Learning rate cycles")] = 1
    """How often cosine_with_restarts begins again. In cosine_with_min_lr and warmup_stable_decay it counts half
    waves."""

    lr_scheduler_power: Annotated[float, Gt(0), Ui(label="Learning rate power", step=0.1)] = 1.0
    """How steeply the schedule polynomial falls at first. 1 is a straight line."""

    lr_scheduler_timescale: Annotated[int | None, Ge(1), Ui(label="Learning rate time scale")] = None
    """After how many steps inverse_sqrt is down to about 70%. Empty takes the warm-up steps, or 10000 without any."""

    lr_scheduler_min_lr_ratio: Annotated[
        float | None, Ge(0), Le(1), Ui(label="Smallest learning rate ratio", step=0.01)
    ] = None
    """The share of the learning rate at which cosine_with_min_lr, cosine_warmup_with_min_lr and warmup_stable_decay
    end. Empty is 0."""

    lr_scheduler_type: Annotated[
        str, Ui(label="Learning rate schedule class", choices=("CosineAnnealingLR", "OneCycleLR"))
    ] = ""
    """A class of torch.optim.lr_scheduler, or any module.Class, that takes the place of lr_scheduler. Empty uses
    lr_scheduler."""

    lr_scheduler_args: Annotated[Arguments, Ui(label="Learning rate schedule arguments", lines=2)] = ()
    """Arguments for lr_scheduler_type, as name=value; for piecewise_constant the steps and factors:
    step_rules="1:100,0.1:200,0.01"."""

    @property
    def finds_its_rate(self) -> bool:
        return self.optimizer_type.lower().startswith(FINDS_ITS_RATE)

    @property
    def is_schedule_free(self) -> bool:
        return self.optimizer_type.lower().endswith("schedulefree")

    @property
    def is_relative_step(self) -> bool:
        """AdaFactor choosing its own rate for every step, which it does unless told otherwise."""
        if self.optimizer_type.lower() != "adafactor":
            return False
        return bool(read_arguments(self.optimizer_args).get("relative_step", True))

    def relations(self) -> Iterator[Problem]:
        yield from self._name_problems()
        yield from self._rate_problems()
        yield from self._adafactor_problems()
        yield from self._schedule_problems()
        yield from self._unused()

    def _name_problems(self) -> Iterator[Problem]:
        names = {name.lower(): name for name in (*OPTIMIZERS, *TORCH_OPTIMIZERS)}
        if "." in self.optimizer_type or self.optimizer_type.lower() in names:
            return
        near = nearest(self.optimizer_type.lower(), names)
        advice = f"Did you mean {names[near]}?" if near else "Choose one of the list, or write module.Class."
        yield Problem("optimizer_type", f"There is no optimizer called {self.optimizer_type!r}. {advice}")

    @property
    def rates(self) -> list[float]:
        """Of the U-Net, then of the text encoders."""
        unet = self.learning_rate if self.unet_lr is None else self.unet_lr
        return [unet, *(self.text_encoder_lr or (self.learning_rate,))]

    def _rate_problems(self) -> Iterator[Problem]:
        rates = self.rates
        if any(rate < 0 for rate in rates):
            yield Problem(
                "text_encoder_lr", "A learning rate can't be negative; use 0 to leave the text encoder as it is."
            )
        if not any(rates):
            yield Problem("learning_rate", "All learning rates are 0, so nothing would be trained; raise one of them.")
        if self.finds_its_rate and len({rate for rate in rates if rate}) > 1:
            message = (
                f"{self.optimizer_type} finds one rate for everything; give all parts the same learning rate, or 0."
            )
            yield Problem("optimizer_type", message)
        if self.finds_its_rate and 0 < max(rates) <= 0.1:
            message = (
                f"{self.optimizer_type} takes it as a factor on the rate it finds, and {max(rates):g} is very "
                f"little; 1 is usual."
            )
            yield Notice("learning_rate", message)

    def _adafactor_problems(self) -> Iterator[Problem]:
        if self.is_relative_step:
            rates_given = self.unet_lr or any(self.text_encoder_lr)
            if self.lr_scheduler not in ("constant", "adafactor"):
                yield Notice("lr_scheduler", "AdaFactor with relative_step finds its own course, so it has no effect.")
            if rates_given:
                message = (
                    "AdaFactor with relative_step finds one rate for everything, so rates of single parts only "
                    "say whether they are trained."
                )
                yield Notice("learning_rate", message)
        elif self.lr_scheduler == "adafactor":
            message = (
                "The schedule adafactor shows the rate AdaFactor finds with relative_step=True; choose that "
                "optimizer or another schedule."
            )
            yield Problem("lr_scheduler", message)

    def _schedule_problems(self) -> Iterator[Problem]:
        has_warmup = self.lr_warmup_steps not in (0, "0%")
        if self.is_schedule_free:
            if self.lr_scheduler != "constant" or self.lr_scheduler_type or has_warmup:
                message = (
                    f"{self.optimizer_type} needs no schedule, so it has no effect; for a warm-up write "
                    f"warmup_steps=100 in optimizer_args."
                )
                yield Notice("lr_scheduler", message)
        elif self.lr_scheduler_type:
            if self.lr_scheduler != "constant" or has_warmup:
                yield Notice(
                    "lr_scheduler_type", f"{self.lr_scheduler_type} takes the place of lr_scheduler and of its warm-up."
                )
        elif self.lr_scheduler == "constant" and has_warmup and not self.is_relative_step:
            yield Notice(
                "lr_warmup_steps", "The schedule constant is used with this warm-up, as constant_with_warmup is."
            )
        if self.lr_scheduler_type.rsplit(".", 1)[-1] == "ReduceLROnPlateau":
            message = (
                "ReduceLROnPlateau waits for a measured loss that training does not give it; choose another schedule."
            )
            yield Problem("lr_scheduler_type", message)
        if self.lr_scheduler_type:
            return
        if self.lr_scheduler == "piecewise_constant":
            yield from self._piecewise_problems()
        if self.lr_scheduler == "warmup_stable_decay" and self.lr_decay_steps in (0, "0%"):
            yield Notice("lr_decay_steps", "It is 0, so warmup_stable_decay never falls; 10% to 20% is usual.")

    def _piecewise_problems(self) -> Iterator[Problem]:
        try:
            step_rules(read_arguments(self.lr_scheduler_args).get("step_rules", ""))
        except ValueError as error:
            yield Problem("lr_scheduler_args", str(error))

    def _unused(self) -> Iterator[Problem]:
        """Settings that belong to a schedule other than the chosen one."""
        belongs_to: tuple[tuple[str, tuple[str, ...]], ...] = (
            ("lr_decay_steps", ("warmup_stable_decay",)),
            ("lr_scheduler_num_cycles", WITH_CYCLES),
            ("lr_scheduler_power", ("polynomial",)),
            ("lr_scheduler_timescale", ("inverse_sqrt",)),
            ("lr_scheduler_min_lr_ratio", WITH_MIN_LR),
            ("lr_scheduler_args", ("piecewise_constant",)),
        )
        for key, schedules in belongs_to:
            is_set = getattr(self, key) != type(self).model_fields[key].default
            if is_set and not self.lr_scheduler_type and self.lr_scheduler not in schedules:
                yield Notice(key, f"It belongs to {', '.join(schedules)}, so it has no effect on {self.lr_scheduler}.")


def step_rules(rules: object) -> list[tuple[int | None, float]]:
    """`1:100,0.1:200,0.01` -> [(100, 1), (200, 0.1), (None, 0.01)]: factor until that step, and the factor at last.

    Raises ValueError with a sentence.
    """
    try:
        *parts, last = str(rules).split(",")
        pairs = [(int(step), float(factor)) for factor, step in (part.split(":") for part in parts)]
        return [*pairs, (None, float(last))]
    except ValueError:
        raise ValueError(
            'piecewise_constant needs step_rules="1:100,0.1:200,0.01": a factor and the step until which it '
            "holds, then the last factor."
        ) from None
