from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from .schema import Group, Notice, Problem, SecretStr, Ui


class LoggingConfig(Group):
    title: ClassVar[str] = "Logging"

    logging_dir: Annotated[str | None, Ui(label="Log folder", kind="folder")] = None
    """Write curves of loss and learning rates into a new folder in here. Empty: none, unless a kind of log is
    chosen."""

    log_with: Literal["tensorboard", "wandb", "all"] | None = None
    """Who shows the curves. Empty: TensorBoard where a log folder is given."""

    log_prefix: str | None = None
    """Put before the time in the name of the log's folder."""

    log_tracker_name: str | None = None
    """Name under which the curves are kept: a subfolder for TensorBoard, the project for W&B. Empty: network_train."""

    log_tracker_config: Annotated[str | None, Ui(kind="file")] = None
    """TOML file with further settings for TensorBoard or W&B, each in a section of its name."""

    wandb_run_name: Annotated[str | None, Ui(label="W&B run name")] = None
    """Name of the run on W&B. Empty: the output name."""

    wandb_api_key: Annotated[SecretStr | None, Ui(label="W&B key", kind="secret")] = None
    """Key of your W&B account. It is never stored in a file. Empty: the one this machine is logged in with."""

    log_config: bool = False
    """Keep all settings with the curves, except secrets and paths."""

    debug_dataset: bool = False
    """Do not train: write the pictures and captions of one epoch as the trainer would see them into the run's
    folder."""

    run_dir: Annotated[str | None, Ui(label="Run folder", kind="folder")] = None
    """Where this run keeps its settings, events and console output. Empty: a new folder in runs in the output
    folder."""

    console_log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    """How much is written to the console: INFO shows the course of the training, WARNING only what is wrong."""

    console_log_file: Annotated[str | None, Ui(kind="file")] = None
    """Write the console's lines to this file too."""

    @property
    def trackers(self) -> tuple[str, ...]:
        if self.log_with is None:
            return ("tensorboard",) if self.logging_dir else ()
        return ("tensorboard", "wandb") if self.log_with == "all" else (self.log_with,)

    def relations(self) -> Iterator[Problem]:
        if "tensorboard" in self.trackers and not self.logging_dir:
            yield Problem("logging_dir", "TensorBoard needs a folder to write to; give one or choose no TensorBoard.")
        if not self.trackers:
            for key in ("log_prefix", "log_tracker_name", "log_tracker_config", "log_config"):
                if getattr(self, key):
                    yield Notice(key, "It has no effect without logging_dir or log_with.")
        if "wandb" not in self.trackers:
            for key in ("wandb_run_name", "wandb_api_key"):
                if getattr(self, key):
                    yield Notice(key, "It has no effect unless log_with is wandb or all.")
