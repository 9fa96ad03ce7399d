"""Merges networks of any kind into one LoRA of a given rank: the nearest one to their sum."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from . import factors
from .factors import Singular, device_of
from .merge import merged, module_names
from .networks import Factors, Network, base_family, check_shapes, open_networks, saved_dtype
from .progress import counted
from .records import of_merge, save
from .settings import SvdMergeSettings
from .strengths import Strength, strengths
from .tool import Say


def run(settings: SvdMergeSettings, say: Say) -> None:
    networks = open_networks(settings.models, "models")
    given = strengths(settings.ratios, settings.lbws, [base_family(network) for network in networks])
    device = device_of(settings.device)
    modules, kept = {}, []
    for name in counted(module_names(networks), say):
        singular, kernel = _sum(name, networks, given, device)
        spatial = len(kernel) == 3 and kernel[1:] != (1, 1)
        rank = settings.new_conv_rank or settings.new_rank if spatial else settings.new_rank
        modules[name] = Factors(*singular.cut(rank), 1.0, kernel)
        kept.append(float(singular.s_K[:rank].norm() / singular.s_K.norm()) if singular.s_K.any() else 1.0)
    save_to = Path(settings.save_to).expanduser()
    dtype = saved_dtype(settings.save_precision, networks[0].dtype)
    save(save_to, modules, dtype, of_merge(networks, modules, save_to, settings.no_metadata))
    say(
        f"Saved {save_to}: {len(modules)} modules; kept of the change (Frobenius norm): {min(kept):.1%} to "
        f"{max(kept):.1%}."
    )


def _sum(
    name: str, networks: Sequence[Network], given: Sequence[Strength], device: torch.device
) -> tuple[Singular, tuple[int, ...]]:
    """The sum of what the networks add to a layer, and the kernel of its down tensor."""
    concerned = [
        (network, strength.of(name))
        for network, strength in zip(networks, given, strict=True)
        if name in network.modules
    ]
    if all(network.is_lora(name) for network, _ in concerned):
        whole = merged(name, networks, given)
        return factors.of_product(whole.up_OR.to(device) * whole.scale, whole.down_RI.to(device)), whole.kernel
    deltas = [network.delta(name) for network, _ in concerned]
    check_shapes(name, [str(network.path) for network, _ in concerned], [_plain(delta) for delta in deltas])
    total = sum(
        (ratio * delta.reshape(deltas[0].shape) for (_, ratio), delta in zip(concerned, deltas, strict=True)),
        torch.zeros(()),
    )
    kernel = next(
        (network.factors(name).kernel for network, _ in concerned if network.is_lora(name)), tuple(total.shape[1:])
    )
    return factors.of_matrix(total.flatten(1).to(device)), kernel


def _plain(delta: Tensor) -> tuple[int, ...]:
    return tuple(delta.flatten(1).shape)
