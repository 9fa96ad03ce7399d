"""Small networks that are trained beside a model. A kind is one file here and one line in `KINDS`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from ..config.network import NetworkConfig
from ..errors import UserError
from .base import AdapterModule, Size, Target
from .blocks import BlockSizes
from .lora import Lora
from .adapter_set import AdapterSet, by_module

KINDS: dict[str, type[AdapterModule]] = {"lora": Lora}


def create(
    network: NetworkConfig,
    targets: Sequence[Target],
    *,
    seed: int = 0,
    parts: Iterable[str] = ("unet", "text_encoder", "text_encoder_2"),
    weights: Mapping[str, Tensor] | None = None,
) -> AdapterSet:
    """Fresh adapters for the targets in `parts`, each drawn from (seed, its name); nothing is attached yet.

    weights: tensors of an adapter file, whose ranks, alphas and choice of modules are taken over (`dim_from_weights`).
    """
    network = network.resolved()
    kind = KINDS[network.kind or "lora"]
    sizes = _sizes_in_file(kind, weights) if weights is not None else None
    blocks = BlockSizes(network)
    modules: dict[str, AdapterModule] = {}
    for target in targets:
        size = blocks.size_of(target) if sizes is None else sizes.get(target.name)
        if size is not None and target.part in set(parts):
            modules[target.name] = kind.make(target, size, network, seed)
    return AdapterSet(modules, {target.name: target for target in targets}, network)


def _sizes_in_file(kind: type[AdapterModule], weights: Mapping[str, Tensor]) -> dict[str, Size]:
    return {name: kind.size_in_file(tensors) for name, tensors in by_module(weights).items()}


def kind_of(name: str, tensors: Mapping[str, Tensor]) -> type[AdapterModule]:
    """The kind that a module's tensors in a file are of. Raises UserError for one that is not known."""
    for kind in KINDS.values():
        if set(tensors) <= set(kind.FILE_KEYS) and kind.FILE_KEYS[0] in tensors:
            return kind
    raise UserError(f"{name} has the tensors {', '.join(sorted(tensors))}, which are of no kind of network that can be read here.")


def merge(weights: Mapping[str, Tensor], targets: Sequence[Target], multiplier: float) -> list[str]:
    """Adds what an adapter file changes, times `multiplier`, to the model's weights.

    Returns the names of modules that the model does not have. Nothing of the file is kept.
    """
    known = {target.name: target for target in targets}
    missing = []
    for name, tensors in by_module(weights).items():
        kind = kind_of(name, tensors)
        if name in known:
            weight = known[name].module.weight
            delta = kind.delta_in_file(tensors).to(weight.device).reshape(weight.shape)
            weight.data = (weight.data.float() + multiplier * delta).to(weight.dtype)
        else:
            missing.append(name)
    return missing
