"""Optimizers: one table from names to classes, and how each wants to be made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..config.optimizer import TORCH_OPTIMIZERS, OptimizerConfig, read_arguments
from ..config.schema import Problem
from ..errors import ConfigError
from . import classes

if TYPE_CHECKING:
    from torch.optim import Optimizer


@dataclass(frozen=True)
class Known:
    """Where an optimizer lives, and the arguments it gets unless others are given."""

    path: str
    defaults: Mapping[str, Any] = field(default_factory=dict)


_NESTEROV = {"momentum": 0.9, "nesterov": True}

OPTIMIZERS: dict[str, Known] = {
    "adamw": Known("torch.optim.AdamW"),
    "sgdnesterov": Known("torch.optim.SGD", _NESTEROV),
    "adafactor": Known("transformers.optimization.Adafactor", {"relative_step": True}),
    "adamw8bit": Known("bitsandbytes.optim.AdamW8bit"),
    "pagedadamw": Known("bitsandbytes.optim.PagedAdamW"),
    "pagedadamw8bit": Known("bitsandbytes.optim.PagedAdamW8bit"),
    "pagedadamw32bit": Known("bitsandbytes.optim.PagedAdamW32bit"),
    "lion8bit": Known("bitsandbytes.optim.Lion8bit"),
    "pagedlion8bit": Known("bitsandbytes.optim.PagedLion8bit"),
    "sgdnesterov8bit": Known("bitsandbytes.optim.SGD8bit", _NESTEROV),
    "lion": Known("lion_pytorch.Lion"),
    "dadaptation": Known("dadaptation.experimental.DAdaptAdamPreprint"),
    "dadaptadampreprint": Known("dadaptation.experimental.DAdaptAdamPreprint"),
    "dadaptadam": Known("dadaptation.DAdaptAdam"),
    "dadaptadagrad": Known("dadaptation.DAdaptAdaGrad"),
    "dadaptadan": Known("dadaptation.DAdaptAdan"),
    "dadaptadanip": Known("dadaptation.experimental.DAdaptAdanIP"),
    "dadaptlion": Known("dadaptation.DAdaptLion"),
    "dadaptsgd": Known("dadaptation.DAdaptSGD"),
    "prodigy": Known("prodigyopt.Prodigy"),
    "adamwschedulefree": Known("schedulefree.AdamWScheduleFree"),
    "radamschedulefree": Known("schedulefree.RAdamScheduleFree"),
    "sgdschedulefree": Known("schedulefree.SGDScheduleFree"),
    **{name.lower(): Known(f"torch.optim.{name}") for name in TORCH_OPTIMIZERS},
}
"""Lower-case name -> class. Every other name is a module.Class."""

UNUSABLE = {
    "torch.optim.LBFGS": "It runs each step several times over, which training can't do",
    "torch.optim.SparseAdam": "It is for sparse gradients, which no part of these models has",
}

NOT_ARGUMENTS = ("self", "params", "lr")


def create(groups: Iterable[Mapping[str, Any]], config: OptimizerConfig) -> Optimizer:
    """The chosen optimizer over groups of "params" with their "lr" (and "name").

    Raises ConfigError when its package is missing, when it does not take these arguments, and when there is
    nothing to train.
    """
    made = [dict(group) for group in groups]
    if not made:
        raise ConfigError(
            [Problem("learning_rate", "There is nothing to train; give some part a learning rate above 0.")]
        )
    kind, arguments = resolve(config)
    if config.is_relative_step:
        return classes.make("optimizer_args", kind, [_without_rate(group) for group in made], lr=None, **arguments)
    if config.finds_its_rate:
        _check_equal_rates(made, config)
    return classes.make("optimizer_args", kind, made, lr=config.learning_rate, **arguments)


def resolve(config: OptimizerConfig) -> tuple[type[Any], dict[str, Any]]:
    """The optimizer's class and its arguments: what is wrong with either can so be said before any model is loaded.

    Raises ConfigError as `create` does.
    """
    known = OPTIMIZERS.get(config.optimizer_type.lower(), Known(config.optimizer_type))
    if known.path in UNUSABLE:
        raise ConfigError([Problem("optimizer_type", f"{UNUSABLE[known.path]}; choose another optimizer.")])
    kind = classes.find("optimizer_type", known.path)
    given = read_arguments(config.optimizer_args)
    classes.check_arguments("optimizer_args", kind, given, NOT_ARGUMENTS)
    return kind, {**known.defaults, **given}


def train_mode(optimizer: Any) -> None:
    """Puts the weights that are trained in place, for optimizers that keep averaged ones beside them."""
    if callable(getattr(optimizer, "train", None)):
        optimizer.train()


def eval_mode(optimizer: Any) -> None:
    """Puts the averaged weights in place, which are the ones to save and to draw samples with."""
    if callable(getattr(optimizer, "eval", None)):
        optimizer.eval()


def given_rates(optimizer: Any) -> dict[str, float]:
    """By the names of the groups, as they were before any schedule; empty where the optimizer finds its own."""
    rates = {
        str(group.get("name", number)): group.get("initial_lr", group.get("lr"))
        for number, group in enumerate(optimizer.param_groups)
    }
    return {name: float(rate) for name, rate in rates.items() if rate is not None}


def keeps_averages(optimizer: Any) -> bool:
    """Whether the two modes differ in the weights; of a fused one, whether its parts' do."""
    return callable(getattr(getattr(optimizer, "parts", [optimizer])[0], "train", None))


def _without_rate(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "lr"}


def _check_equal_rates(groups: list[dict[str, Any]], config: OptimizerConfig) -> None:
    rates = sorted({group.get("lr", config.learning_rate) for group in groups} - {0.0})
    if len(rates) > 1:
        listed = " and ".join(f"{rate:g}" for rate in rates)
        message = (
            f"{config.optimizer_type} finds one rate for everything, but the parts have {listed}; give all the "
            f"same, without block weights or LoRA+ ratios."
        )
        raise ConfigError([Problem("optimizer_type", message)])
