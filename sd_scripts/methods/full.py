"""Training the model itself: DreamBooth and fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..adapters.modelspec import CHECKPOINT
from ..config import full
from ..families import saving
from ..families.names import sdxl
from ..families.names.tables import under
from .averages import Averages, Others
from .base import Method, Place, compute_dtype, weight_dtype

if TYPE_CHECKING:
    from ..config.precision import PrecisionConfig
    from ..config.train_config import TrainConfig
    from ..families.base import ModelFamily

Group = dict[str, Any]
AVERAGE = "ema."
"""What the moving average's names begin with in a saved state."""
PRECISIONS = {torch.float32: "float", torch.float16: "fp16", torch.bfloat16: "bf16"}


class FullMethod(Method):
    """The U-Net and the text encoders, as far as their rates are not 0.

    Trained weights are kept in 32 bits (or in 16, where the settings say so), all others in the dtype that is computed
    in, with what they were before beside them for saving. With a moving average, that is what is saved and sampled.
    """

    freezes_model = False

    def __init__(self, config: TrainConfig, family: ModelFamily, seed: int = 0) -> None:
        """Raises UserError where saving would replace something other than a model."""
        super().__init__(config, family, seed)
        place = Path(config.saving.output_dir) / (config.saving.stem + config.saving.extension)
        saving.check_place(place, config.saving.save_model_as)
        family.compute_dtype = compute_dtype(config)
        self._trained = nn.ModuleDict(self._trained_parts()).to(weight_dtype(config))
        self._exact = self._rounded_rest()
        self._groups = self._made_groups()
        self._stopped = False
        reached = {name: parameter for name, parameter in self._trained.named_parameters() if parameter.requires_grad}
        self._named: dict[str, nn.Parameter] = reached
        self._average = Averages(reached, config.full.ema_decay) if config.full.ema else None
        if config.full.is_fused:
            self.fused_parts = config.full.fused_optimizer_groups or 0

    @classmethod
    def loading(cls, precision: PrecisionConfig) -> PrecisionConfig:
        """In 32 bits, because what is trained must not be rounded before."""
        is_halved = precision.full_fp16 or precision.full_bf16
        return precision if is_halved else precision.model_copy(update={"mixed_precision": "no"})

    def _trained_parts(self) -> dict[str, nn.Module]:
        names = ("unet", *full.text_parts(self.family.name))
        parts = dict(zip(names, (self.family.unet, *self.family.text_encoders), strict=True))
        rates = full.part_rates(self.config)
        rates["unet"] = max(self._block_rates, default=rates["unet"])
        return {name: part for name, part in parts.items() if rates[name]}

    @property
    def _block_rates(self) -> tuple[float, ...]:
        return self.config.full.block_lr if self.family.name == "sdxl" else ()

    def _rounded_rest(self) -> Others:
        """Brings what is not trained to the dtype that is computed in; what that rounded is kept in memory."""
        trained = list(self._trained.values())
        networks = [network for network in self.family.networks if all(network is not part for part in trained)]
        before: dict[nn.Parameter, Tensor] = {}
        for network in networks:
            if network is self.family.vae and self.config.model.no_half_vae:
                continue
            if next(network.parameters()).dtype != self.family.compute_dtype:
                before |= {parameter: parameter.data.cpu() for parameter in network.parameters()}
                network.to(self.family.compute_dtype)
        return Others(before)

    def _made_groups(self) -> list[Group]:
        """Makes what has a rate trainable. Layers that captions don't pass on their way out have no gradient."""
        groups = list(self._all_groups())
        for group in groups:
            for parameter in group["params"]:
                parameter.requires_grad_(True)
        self._freeze_what_captions_do_not_pass()
        reached = [{**group, "params": [p for p in group["params"] if p.requires_grad]} for group in groups]
        return [group for group in reached if group["params"]]

    def _all_groups(self) -> Iterator[Group]:
        rates = full.part_rates(self.config)
        for part, network in self._trained.items():
            if part == "unet" and self._block_rates:
                yield from self._block_groups(network)
            else:
                yield {"name": part, "params": list(network.parameters()), "lr": rates[part]}

    def _block_groups(self, unet: nn.Module) -> Iterator[Group]:
        blocks: dict[int, list[nn.Parameter]] = {}
        for name, parameter in unet.named_parameters():
            blocks.setdefault(sdxl.ORIGINAL.block(name, unet.config), []).append(parameter)
        for block, rate in enumerate(self._block_rates):
            if rate:
                yield {"name": f"unet_block_{block}", "params": blocks[block], "lr": rate}

    def _freeze_what_captions_do_not_pass(self) -> None:
        """With clip_skip, and in SDXL, the last layers of a text encoder are not used."""
        parameters = [p for part, network in self._trained.items() if part != "unet" for p in network.parameters()]
        if not parameters:
            return
        condition = self.family.encode_captions([""])
        read = [value for value in (condition.text_BTC, condition.pooled_BD) if value is not None]
        total = torch.stack([value.float().sum() for value in read]).sum()
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(total, parameters, allow_unused=True), strict=True
        ):
            parameter.requires_grad_(gradient is not None)

    def trainable_groups(self) -> list[Group]:
        return self._groups

    @property
    def trained(self) -> nn.Module:
        return self._trained

    @property
    def trains_text_encoder(self) -> bool:
        return not self._stopped and any(part != "unet" for part in self._trained)

    def stop_text_encoder(self) -> None:
        self._stopped = True
        for part, network in self._trained.items():
            if part != "unet":
                network.requires_grad_(False)
                network.zero_grad(set_to_none=True)

    def _set_mode(self, training: bool) -> None:
        super()._set_mode(training)
        if self._average:
            self._average.show(not training)

    def after_step(self) -> dict[str, Tensor]:
        if self._average:
            self._average.update()
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        weights = {name: self._weight(parameter) for name, parameter in self._named.items()}
        average = self._average.state_dict() if self._average else {}
        return weights | {AVERAGE + name: value for name, value in average.items()}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        differing = sorted(tensors.keys() ^ self.state_dict().keys())
        if differing:
            raise KeyError(f"{differing[0]} is only in {'it' if differing[0] in tensors else 'what is trained here'}")
        for name, parameter in self._named.items():
            self._weight(parameter).copy_(tensors[name])
        if self._average:
            self._average.load_state_dict(under(AVERAGE, tensors))

    def _weight(self, parameter: nn.Parameter) -> Tensor:
        """Also while the average stands in its place."""
        return self._average.values[parameter] if self._average and self._average.shown else parameter.data

    @property
    def precision(self) -> str:
        """Of the saved file."""
        return self.config.saving.save_precision or PRECISIONS[weight_dtype(self.config)]

    def saved_bytes(self) -> int:
        return saving.size_of(self.family, self.precision)

    def save(self, path: Path, progress: Place) -> None:
        """Writes the whole model, whole or not at all. Raises UserError."""
        schedule = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        chosen = schedule if self.config.noise.zero_terminal_snr else {}
        layout = self.config.saving.save_model_as
        fields, spec = self.described(progress, CHECKPOINT)
        with ExitStack() as stack:
            for others in filter(None, (self._exact, self._average)):
                stack.enter_context(others.in_place())
            saving.save_model(self.family, path, layout, self.precision, fields | spec, chosen)
