"""All adapters of a training: attached, grouped for the optimizer, saved and loaded together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..config.block_weights import SD, Blocks
from ..config.network import NetworkConfig
from ..errors import UserError
from .base import AdapterModule, Target
from .blocks import rate_factors


class AdapterSet:
    def __init__(
        self,
        modules: Mapping[str, AdapterModule],
        targets: Mapping[str, Target],
        network: NetworkConfig,
        blocks: Blocks = SD,
    ) -> None:
        self.modules = nn.ModuleDict(modules)
        self.targets = targets
        self.network = network
        self.blocks = blocks

    @property
    def train_parts(self) -> set[str]:
        """The parts of the model that have adapters."""
        return {self.targets[name].part for name in self.modules}

    def attach(self) -> None:
        for module in self.modules.values():
            module.attach()

    def detach(self) -> None:
        for module in self.modules.values():
            module.detach()

    def train(self, mode: bool = True) -> None:
        """Dropout acts in training alone."""
        self.modules.train(mode)

    def to(self, *args: Any) -> AdapterSet:
        self.modules.to(*args)
        return self

    def parameter_groups(self, rates: Mapping[str, float]) -> list[dict[str, Any]]:
        """Groups for the optimizer: {"name", "params", "lr"}, one for each part, block with a factor, and LoRA+ half.

        rates: part -> learning rate. LoRA+ (Hayou et al. 2024, arXiv:2402.12354) trains B faster than A.
        """
        groups: dict[str, dict[str, Any]] = {}
        factors = rate_factors(self.network, self.blocks)
        for name, module in self.modules.items():
            target = self.targets[name]
            rate, label = rates[target.part], target.part
            if factors and target.block is not None:
                rate, label = rate * factors[target.block], f"{label}_block_{target.block:02}"
            ratio = self._ratio(target.part)
            for key, parameter in module.named_parameters():
                if not parameter.requires_grad:  # some kinds leave a matrix as it was drawn
                    continue
                faster = ratio is not None and key in module.FASTER
                group_name = f"{label}_plus" if faster else label
                group_rate = rate * ratio if faster and ratio else rate
                group = groups.setdefault(group_name, {"name": group_name, "params": [], "lr": group_rate})
                group["params"].append(parameter)
        return list(groups.values())

    def _ratio(self, part: str) -> float | None:
        own = self.network.loraplus_unet_lr_ratio if part == "unet" else self.network.loraplus_text_encoder_lr_ratio
        return own or self.network.loraplus_lr_ratio

    def state_dict(self) -> dict[str, Tensor]:
        """Name in a file -> tensor."""
        return {
            f"{module.PREFIX}{name.removeprefix('lora_')}.{key}": value
            for name, module in self.modules.items()
            for key, value in module.file_tensors().items()
        }

    def training_state(self) -> dict[str, Tensor]:
        """What a saved state holds: as a file, but nothing that is trained is multiplied into another tensor."""
        return {
            f"{name}.{key}": value
            for name, module in self.modules.items()
            for key, value in module.training_tensors().items()
        }

    @torch.no_grad()
    def load_training_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Raises KeyError or UserError where the tensors are not those of these very adapters."""
        differing = set(tensors) ^ set(self.training_state())
        if differing:
            raise KeyError(f"{len(differing)} tensors are not in both, such as {min(differing)}")
        for name, own in by_module(tensors).items():
            try:
                self.modules[name].load_training_tensors(own)
            except ValueError as error:
                raise UserError(
                    f"The saved state does not fit: {name} {error}; resume with the settings it was saved with."
                ) from None

    @torch.no_grad()
    def load_state_dict(self, tensors: Mapping[str, Tensor], source: str = "the network file") -> list[str]:
        """Takes over an adapter file's tensors. Returns the names of its modules that are not trained here.

        Raises UserError where a module's tensors don't fit, or where none of the file's modules is known.
        """
        found = by_target(tensors)
        if not set(found) & set(self.modules):
            raise UserError(
                f"{source} has no module that is trained here, so it is for another kind of model; "
                "choose a fitting one."
            )
        for name in sorted(set(found) & set(self.modules)):
            try:
                self.modules[name].load_file_tensors(found[name])
            except ValueError as error:
                raise UserError(
                    f"{source} does not fit: {name} {error}; set the same ranks, or turn dim_from_weights on."
                ) from None
        return sorted(set(found) - set(self.modules))

    def limit_norms(self, limit: float) -> dict[str, Tensor]:
        """Shrinks every module whose change of the weight is above `limit`.

        Returns how many were, and the average and the largest norm then, as tensors on the device.
        """
        norms, ratios = zip(*(module.limit_norm(limit) for module in self.modules.values()), strict=True)
        after = torch.stack(norms)
        return {
            "keys_scaled": (torch.stack(ratios) < 1).sum(),
            "average_key_norm": after.mean(),
            "max_key_norm": after.max(),
        }


def by_module(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """`NAME.lora_down.weight` -> {NAME: {"lora_down.weight": ...}}."""
    modules: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, _, rest = key.partition(".")
        modules.setdefault(name, {})[rest] = value
    return modules


def by_target(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """As `by_module`, under the names that targets have: some kinds' names begin otherwise in files."""
    return {f"lora_{name[4:]}" if name.startswith("oft_") else name: own for name, own in by_module(tensors).items()}
