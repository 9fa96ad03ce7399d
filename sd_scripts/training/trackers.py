"""Curves for TensorBoard and Weights & Biases, through accelerate's trackers."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from ..config import toml
from ..config.load import to_flat
from ..config.logging import LoggingConfig
from ..config.train_config import TrainConfig, all_parameters
from ..errors import UserError
from .failures import first_line

DEFAULT_NAME = "network_train"
PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX"), "wandb": ("wandb",)}


class BadTrackerConfig(UserError):
    """Settings that a tracker does not have."""


class NoTracker(UserError):
    """A tracker that was asked for is not installed."""


def check(config: LoggingConfig) -> None:
    """Before anything is loaded. Raises NoTracker, BadToml, BadTrackerConfig."""
    for tracker in config.trackers:
        if not any(importlib.util.find_spec(package) for package in PACKAGES[tracker]):
            raise NoTracker(
                f"log_with: {tracker} is not installed; run `pip install {tracker}` or choose another kind of log."
            )
    if config.log_tracker_config:
        _check_sections(config.log_tracker_config, toml.read(Path(config.log_tracker_config)))


def _check_sections(file: str, sections: Mapping[str, Any]) -> None:
    for name, settings in sections.items():
        if name not in PACKAGES or not isinstance(settings, dict):
            raise BadTrackerConfig(
                f"log_tracker_config: {file} has {name}, and only sections [{'] and ['.join(PACKAGES)}] are read; "
                "write the settings into one of these."
            )


def folder(config: LoggingConfig) -> Path | None:
    """A new one for each run."""
    if not config.logging_dir:
        return None
    return Path(config.logging_dir) / f"{config.log_prefix or ''}{time.strftime('%Y%m%d%H%M%S')}"


class Trackers:
    """Nothing at all where no tracker is asked for."""

    def __init__(self, config: TrainConfig, accelerator: Accelerator) -> None:
        self._accelerator, self._on = accelerator, bool(config.logging.trackers)
        if not self._on or not accelerator.is_main_process:
            return
        logging = config.logging
        if logging.wandb_api_key is not None:
            os.environ["WANDB_API_KEY"] = logging.wandb_api_key.get_secret_value()
        try:
            accelerator.init_trackers(
                logging.log_tracker_name or DEFAULT_NAME,
                config=_settings(config) if logging.log_config else None,
                init_kwargs=_more(config),
            )
        except TypeError as error:  # about an argument
            file = logging.log_tracker_config
            if file is None:
                raise
            raise BadTrackerConfig(f"log_tracker_config: {file} is refused: {first_line(error)}; mend it.") from error

    @property
    def address(self) -> str | None:
        """Where W&B shows the run; None where it is not used or works offline."""
        shown = (tracker.tracker for tracker in self._accelerator.trackers if tracker.name == "wandb")
        return getattr(next(shown, None), "url", None) if self._on else None

    def log(self, values: dict[str, float], step: int) -> None:
        if self._on:
            self._accelerator.log(values, step=step)

    def give_up(self) -> None:
        self._on = False

    def close(self) -> None:
        if self._on:
            self._accelerator.end_training()


def _more(config: TrainConfig) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if "wandb" in config.logging.trackers:
        place = config.logging.logging_dir or config.saving.output_dir
        more["wandb"] = {"name": config.logging.wandb_run_name or config.saving.stem, "dir": place}
    if config.logging.log_tracker_config:
        for tracker, values in toml.read(Path(config.logging.log_tracker_config)).items():
            more[tracker] = {**more.get(tracker, {}), **values}
    return more


def _settings(config: TrainConfig) -> dict[str, str | int | float | bool]:
    """Without secrets, and without places on this machine."""
    parameters = all_parameters()
    flat = to_flat(config)
    return {
        key: value if isinstance(value, str | int | float | bool) else str(value)
        for key, value in flat.items()
        if parameters[key].ui.kind not in ("file", "folder")
    }
