"""What the loop, the checkpoints and the states ask of a method, whatever it trains."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from typing_extensions import Self

from ..adapters import metadata, modelspec
from ..adapters.facts import TrainingFacts
from ..config.load import to_flat

if TYPE_CHECKING:
    from ..config.network import NetworkConfig
    from ..config.precision import PrecisionConfig
    from ..config.schema import Notice
    from ..config.train_config import TrainConfig
    from ..families.base import ModelFamily

PROGRAM = "sd_scripts 1"


class Place(Protocol):
    """Where the training stands when a file is saved."""

    step: int

    @property
    def epoch_under_way(self) -> int: ...


class Method(ABC):
    """What is trained in a family's model, and how it is written.

    Raises UserError where nothing is left to train or a file does not fit. `facts` is for the file's metadata: whoever
    builds the training fills it in. freezes_model: the model itself stays as it is. fused_parts: into how many parts
    the optimizer is cut that act during the backward pass; 0 means one for each weight, None that it acts afterwards.
    """

    freezes_model = True
    fused_parts: int | None = None

    def __init__(self, config: TrainConfig, family: ModelFamily, seed: int = 0) -> None:
        self.config, self.family = config, family
        self.facts = TrainingFacts(seed=seed)
        self.notices: list[Notice] = []

    @classmethod
    def loading(cls, precision: PrecisionConfig) -> PrecisionConfig:
        """In what precision the model is to be loaded."""
        return precision

    @abstractmethod
    def trainable_groups(self) -> list[dict[str, Any]]:
        """For the optimizer: {"name", "params", "lr"}."""

    @property
    @abstractmethod
    def trained(self) -> nn.Module:
        """All that this method trains, as one module: it holds trained parameters and nothing else's."""

    @property
    @abstractmethod
    def trains_text_encoder(self) -> bool:
        """Whether what captions turn into can change during the training."""

    @abstractmethod
    def stop_text_encoder(self) -> None:
        """From now on the text encoder stays as it is; what was learned of it is kept and saved."""

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]:
        """What a saved state holds."""

    @abstractmethod
    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Raises KeyError or UserError where the tensors are not those of this very training."""

    @abstractmethod
    def save(self, path: Path, progress: Place) -> None:
        """Writes what was trained, whole or not at all. Raises UserError."""

    def files(self, path: Path) -> list[Path]:
        """What `save` writes where it is told to save under this name."""
        return [path]

    def saved_bytes(self) -> int:
        """About how large the saved files are."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.state_dict().values())

    def described(
        self, progress: Place, kind: modelspec.Kind, network: NetworkConfig | None = None, **usual: str
    ) -> tuple[dict[str, str], dict[str, str]]:
        """ss_ fields and ModelSpec fields of a file of this kind. usual: for ModelSpec, of settings that are empty."""
        settings, now = to_flat(self.config, all=True), time.time()
        fields = metadata.build(
            settings, self.facts, network, epoch=progress.epoch_under_way, step=progress.step, saved_at=now
        )
        if self.config.saving.no_metadata:
            fields = metadata.minimum(fields)
        resolution = self.facts.datasets[0].resolution if self.facts.datasets else None
        settings |= {key: settings[key] or value for key, value in usual.items()}
        return fields, modelspec.fields(settings, self.family.name, resolution, now, PROGRAM, kind)

    def parameters(self) -> Iterator[nn.Parameter]:
        """Those that are still trained."""
        return (parameter for parameter in self.trained.parameters() if parameter.requires_grad)

    def train_mode(self) -> None:
        """Dropout acts, and the networks may recompute what they did not keep."""
        self._set_mode(True)

    def eval_mode(self) -> None:
        self._set_mode(False)

    def _set_mode(self, training: bool) -> None:
        self.trained.train(training)
        self.family.unet.train(training)
        for text_encoder in self.family.text_encoders:
            text_encoder.train(training and self.trains_text_encoder)

    def to(self, device: torch.device | str) -> Self:
        self.trained.to(device)
        return self

    def left_out(self) -> AbstractContextManager[None] | None:
        """A context in which the model is as it was before the training; None where that is not kept."""
        return None

    def after_step(self) -> dict[str, Tensor]:
        """What follows a change of the weights; figures for the log, which stay on the device."""
        return {}


def compute_dtype(config: TrainConfig) -> torch.dtype:
    dtypes = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    return dtypes[config.precision.mixed_precision]


def weight_dtype(config: TrainConfig) -> torch.dtype:
    """Of the trained weights: 32 bits unless the user wants them halved too."""
    if config.precision.full_fp16:
        return torch.float16
    return torch.bfloat16 if config.precision.full_bf16 else torch.float32
