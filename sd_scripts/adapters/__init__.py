"""Small networks that are trained beside a model. A kind is one file here and one row in `config.network_kinds`."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence

from torch import Tensor

from ..config.block_weights import SD, Blocks
from ..config.network import NetworkConfig
from ..config.network_kinds import KINDS
from ..errors import UserError
from .adapter_set import AdapterSet, by_module, by_target
from .base import AdapterModule, Target
from .blocks import size_of
from .layers import is_norm, reaches
from .norm import Norm


def create(
    network: NetworkConfig,
    targets: Sequence[Target],
    *,
    seed: int = 0,
    parts: Iterable[str] = ("unet", "text_encoder", "text_encoder_2"),
    weights: Mapping[str, Tensor] | None = None,
    blocks: Blocks = SD,
) -> AdapterSet:
    """Fresh adapters for the targets in `parts`, each drawn from (seed, its name); nothing is attached yet.

    weights: tensors of an adapter file, whose ranks, alphas and choice of modules are taken over (`dim_from_weights`).
    blocks: of the family's U-Net.
    """
    network = network.resolved()
    wanted = set(parts)
    chosen = [target for target in targets if target.part in wanted]
    made = _fresh(network, chosen, seed, blocks) if weights is None else _as_in_file(network, chosen, seed, weights)
    return AdapterSet(dict(made), {target.name: target for target in targets}, network, blocks)


Made = Iterator[tuple[str, AdapterModule]]


def _fresh(network: NetworkConfig, targets: Iterable[Target], seed: int, blocks: Blocks) -> Made:
    for target in targets:
        if reaches(network, target):
            own = _own(network, target)
            size = size_of(target, own, blocks)
            if size is not None:
                yield target.name, _kind_for(own, target).make(target, size, own, seed)


def _as_in_file(network: NetworkConfig, targets: Iterable[Target], seed: int, weights: Mapping[str, Tensor]) -> Made:
    modules = by_target(weights)
    for target in targets:
        tensors = modules.get(target.name)
        if tensors is None:
            continue
        own = _own(network, target)
        kind = _kind_for(own, target)
        if not kind.is_of(kind.PREFIX + target.name.removeprefix("lora_"), tensors):
            raise UserError(
                f"network_weights: {target.name} in it is of another kind than {own.kind}; set the network type "
                "that the file was trained as."
            )
        settings = kind.settings_in_file(tensors, target.module.weight.shape)  # type: ignore[union-attr, arg-type]
        yield target.name, kind.make(target, kind.size_in_file(tensors), own.model_copy(update=settings), seed)


def _own(network: NetworkConfig, target: Target) -> NetworkConfig:
    return network.of_layer(target.name, target.role, type(target.module).__name__)


def _kind_for(network: NetworkConfig, target: Target) -> type[AdapterModule]:
    return Norm if is_norm(target.module) else _kind(network.kind or "lora")


def _kind(name: str) -> type[AdapterModule]:
    """As `NetworkConfig.kind` names it. Its file is imported only when it is asked for."""
    found: type[AdapterModule] = pkgutil.resolve_name(f"{__name__}.{KINDS[name].adapter}")
    return found


def _kinds() -> Iterator[type[AdapterModule]]:
    yield from map(_kind, KINDS)
    yield Norm


def kind_of(name: str, tensors: Mapping[str, Tensor]) -> type[AdapterModule]:
    """The kind that a module's tensors in a file are of. Raises UserError for one that is not known."""
    for kind in _kinds():
        if kind.is_of(name, tensors):
            return kind
    raise UserError(
        f"{name} has the tensors {', '.join(sorted(tensors))}, which are of no kind of network that can be read here."
    )


def merge(weights: Mapping[str, Tensor], targets: Sequence[Target], multiplier: float) -> list[str]:
    """Adds what an adapter file changes, times `multiplier`, to the model's weights.

    Returns the names of modules that the model does not have. Nothing of the file is kept.
    """
    known = {target.name: target for target in targets}
    missing = []
    for name, tensors in by_module(weights).items():
        kind = kind_of(name, tensors)
        target = known.get(f"lora_{name.removeprefix(kind.PREFIX)}")
        if target is None:
            missing.append(name)
            continue
        weight = target.module.weight
        _add(weight, kind.delta_in_file(tensors, weight.data.to("cpu")), multiplier)
        bias = kind.bias_in_file(tensors)
        if bias is not None:
            _add(target.module.bias, bias, multiplier)
    return missing


def _add(parameter: Tensor, change: Tensor, multiplier: float) -> None:
    moved = parameter.data.float() + multiplier * change.to(parameter.device).float().reshape(parameter.shape)
    parameter.data = moved.to(parameter.dtype)
