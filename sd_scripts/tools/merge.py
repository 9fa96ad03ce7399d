"""Merges LoRAs into one, whose ranks are the sums of theirs, or into a model.

W' = W + sum of ratio_i * alpha_i / rank_i * B_i A_i: each at the strength asked for, with no terms between different
LoRAs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from .. import draws
from .factors import stacked
from .merge_model import merge_into_model
from .networks import Factors, Network, base_family, check_shapes, open_networks, saved_dtype
from .records import of_merge, save
from .settings import MergeSettings
from .strengths import Strength, strengths
from .tool import Say


def run(settings: MergeSettings, say: Say) -> None:
    networks = open_networks(settings.models, "models")
    given = strengths(settings.ratios, settings.lbws, [base_family(network) for network in networks])
    if settings.sd_model:
        merge_into_model(settings, networks, given, say)
    else:
        _merge_networks(settings, networks, given, say)


def _merge_networks(settings: MergeSettings, networks: Sequence[Network], given: Sequence[Strength], say: Say) -> None:
    modules = {name: merged(name, networks, given) for name in module_names(networks)}
    if settings.shuffle:
        modules = {name: _shuffled(name, factors) for name, factors in modules.items()}
    save_to = Path(settings.save_to).expanduser()
    save(
        save_to, modules, saved_dtype(settings.save_precision, networks[0].dtype),
        of_merge(networks, modules, save_to, settings.no_metadata),
    )  # fmt: skip
    ranks = sorted({factors.rank for factors in modules.values()})
    for network, strength in zip(networks, given, strict=True):
        say(f"{network.path.name} x {strength.ratio:g}: {len(network.modules)} modules")
    say(f"Saved {save_to}: {len(modules)} modules of rank {', '.join(map(str, ranks))}.")


def module_names(networks: Sequence[Network]) -> list[str]:
    """Of all networks, each once, in their order."""
    return list(dict.fromkeys(name for network in networks for name in network.modules))


def merged(name: str, networks: Sequence[Network], given: Sequence[Strength]) -> Factors:
    """What the networks add to one layer together. Raises UserError where they are for different layers."""
    parts = [
        (strength.of(name), network.factors(name))
        for network, strength in zip(networks, given, strict=True)
        if name in network.modules
    ]
    shapes = [(len(factors.up_OR), *factors.kernel) for _, factors in parts]
    files = [str(network.path) for network in networks if name in network.modules]
    check_shapes(name, files, [shape if shape[2:] != (1, 1) else shape[:2] for shape in shapes])
    return stacked(parts)


def _shuffled(name: str, factors: Factors) -> Factors:
    order_R = torch.randperm(factors.rank, generator=draws.generator(0, f"shuffle/{name}"))
    return Factors(factors.up_OR[:, order_R], factors.down_RI[order_R], factors.scale, factors.kernel)
