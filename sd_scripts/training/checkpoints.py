"""When files are saved, under which names, and which old ones go."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ..config.saving import SavingConfig
from ..errors import UserError
from .control import Control
from .failures import first_line
from .hub import Uploader
from .progress import Progress
from .rest import Rest
from .state import State

SPARE_BYTES = 4 << 20  # for events, logs and pictures


class NotSaved(UserError):
    """A file or folder that could not be written."""


class DiskFull(NotSaved):
    """No room for what is to be saved."""


@dataclass(frozen=True)
class Names:
    """Names of the saved files, as the reference engine gives them."""

    saving: SavingConfig

    def epoch(self, epoch: int) -> str:
        return f"{self.saving.output_name or 'epoch'}-{epoch:06d}"

    def step(self, step: int) -> str:
        return f"{self.saving.output_name or 'at'}-step{step:08d}"

    def last(self) -> str:
        return self.saving.stem


def every_n_epochs(saving: SavingConfig, epochs: int) -> int | None:
    if saving.save_n_epoch_ratio:
        return max(1, epochs // saving.save_n_epoch_ratio)
    return saving.save_every_n_epochs


def epoch_to_remove(epoch: int, every: int, keep: int | None) -> int | None:
    """The epoch whose file goes once that of `epoch` is written; `keep` counts files."""
    return epoch - every * keep if keep and epoch > every * keep else None


def step_to_remove(step: int, every: int, keep: int | None) -> int | None:
    """The step whose file goes once that of `step` is written; `keep` counts steps."""
    if not keep:
        return None
    oldest = step - keep - 1
    oldest -= oldest % every
    return oldest if oldest > 0 else None


def check_room(folder: Path, size: int) -> None:
    """Whether `size` bytes can be saved. Raises DiskFull."""
    needed, free = size + SPARE_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        sizes = f"{needed >> 20} MB are needed to save and {free >> 20} MB are free"
        raise DiskFull(f"output_dir: The disk of {folder} is full: {sizes}; make room or choose another folder.")


@dataclass
class Checkpoints:
    """Saves the model and the state. Only the first process writes; what it writes is the same in all."""

    saving: SavingConfig
    epochs: int
    total_steps: int
    state: State
    rest: Rest
    control: Control
    log: Any
    writes: bool
    uploader: Uploader | None = None
    resume_from: Path | None = None
    folder: Path = field(init=False)
    names: Names = field(init=False)

    def __post_init__(self) -> None:
        self.folder, self.names = Path(self.saving.output_dir), Names(self.saving)

    def resume(self, progress: Progress) -> None:
        if self.resume_from is not None:
            self.state.load(self.resume_from, progress)
            self.log.say(f"Resumed from {self.resume_from} at step {progress.step}, epoch {progress.epoch_under_way}.")
        self._check_room(self.state.method.saved_bytes())

    def maybe(self, progress: Progress, epoch_ended: bool) -> None:
        """Saves what is due after this step. What can't be written costs these files and not the training."""
        try:
            self._save_what_is_due(progress, epoch_ended)
        except NotSaved as error:
            sentence = str(error).removeprefix("output_dir: ")
            self.log.notice("output_dir", f"Not all was saved at step {progress.step}; training goes on. {sentence}")

    def _save_what_is_due(self, progress: Progress, epoch_ended: bool) -> None:
        saving = self.saving
        if saving.save_every_n_steps and progress.step % saving.save_every_n_steps == 0:
            self._save(self.names.step(progress.step), progress, saving.save_state)
            self._remove_old_steps(progress.step, saving.save_every_n_steps)
        every = every_n_epochs(saving, self.epochs)
        if every and epoch_ended and progress.epoch % every == 0 and progress.step < self.total_steps:
            self._save(self.names.epoch(progress.epoch), progress, saving.save_state)
            self._remove_old_epochs(progress.epoch, every)
        if self.control.take("save"):
            self._save(self.names.step(progress.step), progress, saving.save_state)

    def final(self, progress: Progress, finished: bool) -> None:
        """The trained file; of a training that was stopped, a file named by its step and a state to go on from."""
        if finished:
            self._save(self.names.last(), progress, self.saving.save_state or self.saving.save_state_on_train_end)
        else:
            self._save(self.names.step(progress.step), progress, True)
        if self.uploader is not None:
            self.uploader.wait()

    def _save(self, name: str, progress: Progress, with_state: bool) -> None:
        self.log.flush()  # weights that have gone astray are not saved
        file = self.folder / (name + self.saving.extension)
        with self.rest():  # in all processes, whose weights must stay equal
            if self.writes:
                self.log.state("saving", f"Saving {name}")
                method = self.state.method
                self._check_room(method.saved_bytes())
                self._write(lambda: method.save(file, progress), method.files(file), progress, "model")
        if with_state and self.writes:
            folder = self.folder / f"{name}-state"
            self._check_room(self.state.size())
            self._write(lambda: self.state.save(folder, progress), [folder], progress, "state")

    def _write(self, write: Callable[[], None], paths: list[Path], progress: Progress, what: str) -> None:
        try:
            write()
        except UserError as error:
            raise NotSaved(str(error)) from error
        except (OSError, RuntimeError, SafetensorError) as error:  # each library has its own for a full disk
            reason = getattr(error, "strerror", None) or first_line(error)
            message = f"output_dir: {paths[0]} could not be saved: {reason}. Make room or change the folder."
            raise NotSaved(message) from error
        for path in paths:
            self._saved(path, progress, what)

    def _saved(self, path: Path, progress: Progress, what: str) -> None:
        self.log.saved(path.absolute(), progress.step, what)
        if self.uploader is not None and (what == "model" or self.saving.save_state_to_huggingface):
            self.uploader.upload(path)

    def _check_room(self, size: int) -> None:
        """Before the run and before each save, so that the last good file is never given up for half a new one."""
        if self.writes:
            check_room(self.folder, size)

    def _remove_old_epochs(self, epoch: int, every: int) -> None:
        saving = self.saving
        self._remove_file(self.names.epoch, epoch_to_remove(epoch, every, saving.save_last_n_epochs))
        states = saving.save_last_n_epochs_state or saving.save_last_n_epochs
        self._remove_state(self.names.epoch, epoch_to_remove(epoch, every, states))

    def _remove_old_steps(self, step: int, every: int) -> None:
        saving = self.saving
        self._remove_file(self.names.step, step_to_remove(step, every, saving.save_last_n_steps))
        states = saving.save_last_n_steps_state or saving.save_last_n_steps
        self._remove_state(self.names.step, step_to_remove(step, every, states))

    def _remove_file(self, name: Callable[[int], str], number: int | None) -> None:
        if number is not None and self.writes:
            for file in self.state.method.files(self.folder / (name(number) + self.saving.extension)):
                if file.is_dir():
                    shutil.rmtree(file, ignore_errors=True)
                else:
                    file.unlink(missing_ok=True)

    def _remove_state(self, name: Callable[[int], str], number: int | None) -> None:
        if number is not None and self.writes and self.saving.save_state:
            shutil.rmtree(self.folder / f"{name(number)}-state", ignore_errors=True)
