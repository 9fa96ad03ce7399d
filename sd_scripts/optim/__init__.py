"""Optimizers and learning rate schedules by name. Torch and the optimizers' libraries are imported when one is made."""

from ..config.optimizer import OptimizerConfig
from . import optimizers, schedules
from .optimizers import eval_mode, given_rates, keeps_averages, train_mode

__all__ = ["check", "eval_mode", "given_rates", "keeps_averages", "train_mode"]


def check(config: OptimizerConfig) -> None:
    """Whether the chosen classes are there and take their arguments. Raises ConfigError; loads no model."""
    optimizers.resolve(config)
    if config.lr_scheduler_type and not config.is_schedule_free:
        schedules.resolve(config)
