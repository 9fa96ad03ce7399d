"""Optimizers and learning rate schedules by name. Torch and the optimizers' libraries are imported when one is made."""

from .optimizers import eval_mode, train_mode

__all__ = ["eval_mode", "train_mode"]
