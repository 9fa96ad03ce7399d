"""Training an adapter beside a frozen model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from .. import adapters
from ..adapters import io
from ..adapters.adapter_set import by_module
from ..adapters.hashes import tensor_hashes
from ..adapters.modelspec import LORA
from ..config.network import NetworkConfig, rates
from ..config.schema import Notice
from ..errors import UserError
from .base import Method, Place, weight_dtype

if TYPE_CHECKING:
    from ..config.train_config import TrainConfig
    from ..families.base import ModelFamily

NO_BASE = "base_weights: {} is for another kind of model than this one; choose a fitting one, or leave it out."
PARTS = ("unet", "text_encoder", "text_encoder_2")
"""A model has as many of them as it has text encoders, and one."""


class AdapterMethod(Method):
    """The adapters that the settings ask for, attached to the family's model.

    Merges base_weights into the model and reads network_weights first.
    """

    def __init__(self, config: TrainConfig, family: ModelFamily, seed: int = 0) -> None:
        super().__init__(config, family, seed)
        self.network = config.network.resolved()
        asked = rates(self.network, config.optimizer, config.training)
        self.rates = {part: asked[part] for part in PARTS[: 1 + len(family.text_encoders)]}
        self.notices += part_notices(self.rates, self.network, config.training.never_trains_text_encoder)
        self._merge_base_weights()
        self.adapters = self._made(seed)
        self.adapters.to(weight_dtype(config))
        self.adapters.attach()

    def _merge_base_weights(self) -> None:
        targets = self.family.adapter_targets(conv=True, more=True)
        factors = self.network.base_weights_multiplier or (1.0,) * len(self.network.base_weights)
        for name, factor in zip(self.network.base_weights, factors, strict=True):
            tensors, _ = io.load(Path(name), "base_weights")
            try:
                missing = adapters.merge(tensors, targets, factor)
            except RuntimeError as error:  # of a shape
                raise UserError(NO_BASE.format(name)) from error
            if len(missing) == len(by_module(tensors)):
                raise UserError(NO_BASE.format(name))
            if missing:
                self.notices.append(
                    Notice(
                        "base_weights",
                        f"{name} has {len(missing)} modules that this model does not have, such as {missing[0]}.",
                    )
                )

    def _made(self, seed: int) -> adapters.AdapterSet:
        network = self.network
        tensors = io.load(Path(network.network_weights), "network_weights")[0] if network.network_weights else None
        parts = {part for part, rate in self.rates.items() if rate}
        wanted = tensors if network.dim_from_weights else None
        conv = network.trains_convolutions or network.dim_from_weights
        more = bool(network.layers) or network.train_norm or network.dim_from_weights
        targets = self.family.adapter_targets(conv, more)
        made = adapters.create(network, targets, seed=seed, parts=parts, weights=wanted, blocks=self.family.blocks)
        if not made.modules:
            raise UserError(
                "There is nothing to train: every rate or rank is 0; "
                "give the U-Net or the text encoder a learning rate."
            )
        if tensors is not None:
            left = made.load_state_dict(tensors, f"network_weights: {network.network_weights}")
            if left:
                self.notices.append(
                    Notice(
                        "network_weights",
                        f"{len(left)} of its modules are not trained here and left out, such as {left[0]}.",
                    )
                )
        return made

    def trainable_groups(self) -> list[dict[str, Any]]:
        """For the optimizer: {"name", "params", "lr"}."""
        return self.adapters.parameter_groups(self.rates)

    @property
    def trained(self) -> nn.Module:
        return self.adapters.modules

    @property
    def trains_text_encoder(self) -> bool:
        return any(part.startswith("text_encoder") for part in self.adapters.train_parts)

    def stop_text_encoder(self) -> None:
        for name, module in self.adapters.modules.items():
            if self.adapters.targets[name].part != "unet":
                module.requires_grad_(False)
                module.zero_grad(set_to_none=True)

    @contextmanager
    def left_out(self) -> Iterator[None]:
        self.adapters.detach()
        try:
            yield
        finally:
            self.adapters.attach()

    def after_step(self) -> dict[str, Tensor]:
        limit = self.network.scale_weight_norms
        return self.adapters.limit_norms(limit) if limit else {}

    def state_dict(self) -> dict[str, Tensor]:
        return self.adapters.training_state()

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        self.adapters.load_training_state(tensors)

    def save(self, path: Path, progress: Place) -> None:
        """Writes the adapter's file, whole or not at all. Raises UserError."""
        dtype = io.DTYPES.get(self.config.saving.save_precision or "")
        tensors = {
            key: value.detach().to("cpu", dtype or value.dtype).contiguous()
            for key, value in self.adapters.state_dict().items()
        }
        io.save(path, tensors, self.metadata(tensors, progress))

    def metadata(self, tensors: Mapping[str, Tensor], progress: Place) -> dict[str, str]:
        """ss_ fields, ModelSpec fields and hashes."""
        fields, spec = self.described(progress, LORA, self.network)
        return fields | spec | tensor_hashes(tensors, fields)


def part_notices(part_rates: Mapping[str, float], network: NetworkConfig, leaves_text: bool) -> Iterator[Notice]:
    """A rate of 0 means that the part is not trained, and it should be said."""
    words = {"unet": "U-Net", "text_encoder": "text encoder", "text_encoder_2": "second text encoder"}
    for part, rate in part_rates.items():
        is_unet = part == "unet"
        asked_for = (
            network.network_train_text_encoder_only if is_unet else network.network_train_unet_only or leaves_text
        )
        if not rate and not asked_for:
            key = "unet_lr" if is_unet else "text_encoder_lr"
            yield Notice(key, f"It is 0, so the {words[part]} is not trained and not in the saved file.")
