"""All settings of one training run: the groups in the order in which the form shows them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from pydantic import BaseModel, ConfigDict

from .captions import CaptionConfig
from .dataset import DatasetConfig
from .full import FullConfig
from .launch import LaunchConfig
from .logging import LoggingConfig
from .loss import LossConfig
from .method_kind import MethodKind
from .methods import METHODS
from .model import ModelConfig
from .network import NetworkConfig
from .noise import NoiseConfig
from .optimizer import OptimizerConfig
from .precision import PrecisionConfig
from .relations import across
from .sampling import SamplingConfig
from .saving import SavingConfig
from .schema import Group, Notice, Parameter, Problem, parameters
from .textual_inversion import TextualInversionConfig
from .training import TrainingConfig


class TrainConfig(BaseModel):
    """Frozen, complete and checked: whoever holds one can train with it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelConfig = ModelConfig()
    dataset: DatasetConfig = DatasetConfig()
    captions: CaptionConfig = CaptionConfig()
    textual_inversion: TextualInversionConfig = TextualInversionConfig()
    training: TrainingConfig = TrainingConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    network: NetworkConfig = NetworkConfig()
    full: FullConfig = FullConfig()
    saving: SavingConfig = SavingConfig()
    sampling: SamplingConfig = SamplingConfig()
    noise: NoiseConfig = NoiseConfig()
    loss: LossConfig = LossConfig()
    precision: PrecisionConfig = PrecisionConfig()
    logging: LoggingConfig = LoggingConfig()
    launch: LaunchConfig = LaunchConfig()

    @property
    def family(self) -> str:
        return self.model.family

    @property
    def method(self) -> str:
        return self.model.method

    @property
    def method_kind(self) -> MethodKind:
        return METHODS[self.method]

    @property
    def adapter(self) -> str | None:
        """The kind of network that is trained, or None where the method trains none."""
        return self.network.kind if self.method_kind.trains_network else None

    def named(self) -> TrainConfig:
        """With a name for its files, where the method has one for those that are given none."""
        name = self.saving.output_name or self.method_kind.output_name(self)
        return self.model_copy(update={"saving": self.saving.model_copy(update={"output_name": name})})

    def value(self, parameter: Parameter) -> object:
        return getattr(getattr(self, parameter.attribute), parameter.key)

    def relations(self) -> Iterator[Problem]:
        """What is wrong between the values of one group, between groups, and set where it has no effect."""
        for attribute in groups():
            yield from getattr(self, attribute).relations()
        yield from across(self)
        yield from self._without_effect()

    def _without_effect(self) -> Iterator[Problem]:
        kinds = self.network.kinds if self.adapter else (None,)
        for parameter in all_parameters().values():
            reasons = [parameter.applies_to.missing(self.family, self.method, kind) for kind in kinds]
            if all(reasons) and self.value(parameter) != parameter.default:
                yield Notice(parameter.key, f"{parameter.label} {reasons[0]}.")


@cache
def groups() -> dict[str, type[Group]]:
    """TrainConfig attribute -> its group, in display order."""
    return {name: declared.annotation for name, declared in TrainConfig.model_fields.items()}  # type: ignore[misc]


@cache
def all_parameters() -> dict[str, Parameter]:
    """Every parameter by its key, in display order. Keys are unique over all groups."""
    found: dict[str, Parameter] = {}
    for attribute, group in groups().items():
        for key, parameter in parameters(group, attribute).items():
            if key in found:
                raise TypeError(f"{key} is declared by {found[key].group.__name__} and by {group.__name__}")
            found[key] = parameter
    return found
