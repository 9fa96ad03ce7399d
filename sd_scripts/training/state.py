"""The state of a training on disk, from which it goes on as if it had never ended.

A folder as the reference engine writes it: model.safetensors, optimizer.bin, scheduler.bin, random_states_0.pkl,
train_state.json (current_epoch, current_step) and, with fp16, scaler.pt. Ours adds to train_state.json where in the
epoch it stands, the seed, and the size of the plan. All random draws follow from those.
"""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import UserError
from ..optim import given_rates
from ..whole import whole_folder
from .failures import first_line
from .progress import Progress

TRAIN_STATE = "train_state.json"
Place = dict[str, Any]


class BadState(UserError):
    """A state folder that can't be resumed from."""


@dataclass(frozen=True)
class Shape:
    """What a place in an epoch means something for."""

    seed: int
    batches_per_epoch: int
    accumulate: int
    processes: int

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.batches_per_epoch // self.accumulate)


@dataclass
class State:
    """Everything that changes while training."""

    shape: Shape
    method: Any
    optimizer: Any
    schedule: Any
    scaler: Any
    notice: Callable[[str, str], None]
    _rates: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self._rates = given_rates(self.optimizer)

    def save(self, folder: Path, progress: Progress) -> None:
        """Whole or not at all."""
        with whole_folder(folder) as new:
            save_file(_on_cpu(self.method.state_dict()), str(new / "model.safetensors"), {"format": "pt"})
            torch.save(self.optimizer.state_dict(), new / "optimizer.bin")
            torch.save(self.schedule.state_dict(), new / "scheduler.bin")
            torch.save(_random_states(), new / "random_states_0.pkl")
            if self.scaler is not None:
                torch.save(self.scaler.state_dict(), new / "scaler.pt")
            (new / TRAIN_STATE).write_text(json.dumps(self._place(progress), indent=2), encoding="utf-8")

    def size(self) -> int:
        """About how many bytes a saved state has now."""
        return _bytes_in([self.method.state_dict(), self.optimizer.state_dict()])

    def _place(self, progress: Progress) -> dict[str, object]:
        return {
            "current_epoch": progress.epoch_under_way,
            "current_step": progress.step,
            "epochs_done": progress.epoch,
            "batches_done": progress.batches,
            **vars(self.shape),
            "optimizer": kind_of(self.optimizer),
            "rates": self._rates,
        }

    def load(self, folder: Path, progress: Progress) -> None:
        """Raises BadState where the folder is no state, or one of another training."""
        place = read_place(folder)
        self._check_optimizer(folder, place)
        self._load_weights(folder)
        self._load_part(self.optimizer, folder / "optimizer.bin")
        self._load_part(self.schedule, folder / "scheduler.bin")
        if self.scaler is not None and (folder / "scaler.pt").is_file():
            self._load_part(self.scaler, folder / "scaler.pt")
        self._go_on_with_rates(place)
        self._go_to(place, progress)

    def _check_optimizer(self, folder: Path, place: Place) -> None:
        """Many optimizers take another's state without a word."""
        saved, own = place.get("optimizer"), kind_of(self.optimizer)
        if saved not in (None, own):
            raise BadState(f"resume: {folder} was saved with the optimizer {saved}, not {own}; choose that one again.")

    def _load_weights(self, folder: Path) -> None:
        try:
            self.method.load_state_dict(load_file(str(folder / "model.safetensors")))
        except (OSError, SafetensorError, RuntimeError, KeyError, ValueError, UserError) as error:
            raise BadState(
                f"resume: The weights in {folder} are not those of this training ({first_line(error)}); "
                "give the same settings as when it was saved."
            ) from error

    def _load_part(self, part: Any, file: Path) -> None:
        try:
            part.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        except (
            OSError,
            pickle.UnpicklingError,
            RuntimeError,
            KeyError,
            ValueError,
            AttributeError,
            TypeError,
        ) as error:
            raise BadState(
                f"resume: {file} does not fit this training ({first_line(error)}); give the same optimizer, schedule "
                "and learning rates as when it was saved, or start anew with network_weights."
            ) from error

    def _go_on_with_rates(self, place: Place) -> None:
        """Those of the saved training, which come with the states of its optimizer and schedule."""
        saved = place.get("rates", self._rates)
        if saved != self._rates:
            self.notice(
                "resume",
                f"The training goes on with the learning rates it was saved with ({_listed(saved)}), not with those "
                f"given now ({_listed(self._rates)}); change them while it runs, or begin anew from the saved file.",
            )
        self._rates = saved

    def _go_to(self, place: Place, progress: Progress) -> None:
        progress.step = place["current_step"]
        if "batches_done" in place:
            progress.epoch, progress.batches = place["epochs_done"], place["batches_done"]
        else:
            progress.epoch = progress.step // self.shape.steps_per_epoch
            progress.batches = progress.step % self.shape.steps_per_epoch * self.shape.accumulate
            self.notice(
                "resume", "The state is of another program, so the place in the images is worked out from the step."
            )
        changed = [name for name, value in vars(self.shape).items() if place.get(name, value) != value]
        if changed:
            self.notice(
                "resume",
                f"Not as in the saved training: {', '.join(changed)}. The order of the images goes on differently.",
            )
        progress.batches = min(progress.batches, self.shape.batches_per_epoch)
        if progress.batches == self.shape.batches_per_epoch:
            progress.epoch, progress.batches = progress.epoch + 1, 0


def read_place(folder: Path) -> Place:
    """train_state.json. Raises BadState."""
    if not folder.is_dir():
        raise BadState(f"resume: The folder {folder} does not exist; give the state folder that a training saved.")
    try:
        place = json.loads((folder / TRAIN_STATE).read_text(encoding="utf-8"))
        return {**place, "current_step": int(place["current_step"])}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        hint = next((f"; did you mean {found.parent}?" for found in sorted(folder.glob(f"*/{TRAIN_STATE}"))), ".")
        raise BadState(
            f"resume: {folder} is no saved state, because its {TRAIN_STATE} is missing or broken{hint}"
        ) from error


def _bytes_in(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return sum(map(_bytes_in, inner))


def _on_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}


def _random_states() -> dict[str, Any]:
    """For programs that expect the file; ours draws everything from the seed and the place."""
    return {"step": 0, "random_state": random.getstate(), "torch_manual_seed": torch.get_rng_state()}


def _listed(rates: dict[str, float]) -> str:
    return ", ".join(f"{name} {rate:g}" for name, rate in rates.items())


def kind_of(optimizer: Any) -> str:
    inner = getattr(optimizer, "optimizer", optimizer)
    kind = getattr(inner, "kind", type(inner))
    return f"{kind.__module__}.{kind.__name__}"
