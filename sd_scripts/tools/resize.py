"""Gives a LoRA other ranks: the same for all modules, or for each as many as its singular values ask for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import factors
from .factors import Singular, device_of, wanted_rank
from .networks import Factors, Network, open_network, saved_dtype
from .progress import counted
from .records import DYNAMIC, of_sizes, save
from .settings import ResizeSettings
from .tool import Say


@dataclass(frozen=True)
class Resized:
    """kept: the Frobenius norm that is left, as a share. largest: the largest singular value, of the scaled product."""

    old_rank: int
    factors: Factors
    kept: float
    largest: float


def run(settings: ResizeSettings, say: Say) -> None:
    network = open_network(settings.model, "model")
    device = device_of(settings.device)
    made = {}
    for name in counted(network.modules, say):
        old = network.factors(name)
        singular = factors.of_product(old.up_OR.to(device), old.down_RI.to(device))
        made[name] = _resized(settings, old, singular, network.is_spatial(name))
        if settings.verbose:
            one = made[name]
            say(
                f"{name}: rank {one.old_rank} -> {one.factors.rank}, kept {one.kept:.1%}, largest singular value "
                f"{one.largest:.3g}"
            )
    modules = {name: one.factors for name, one in made.items()}
    save_to = Path(settings.save_to).expanduser()
    save(save_to, modules, saved_dtype(settings.save_precision, network.dtype), _metadata(settings, network, modules))
    ranks = [one.factors.rank for one in made.values()]
    kept = [one.kept for one in made.values()]
    say(
        f"Saved {save_to}: {len(made)} modules of rank {min(ranks)} to {max(ranks)} ({sum(ranks) / len(ranks):.1f} "
        "on average); "
        f"kept of the change (Frobenius norm): {min(kept):.1%} to {max(kept):.1%}."
    )


def _resized(settings: ResizeSettings, old: Factors, singular: Singular, spatial: bool) -> Resized:
    """The scale alpha / rank stays as it was."""
    rank = settings.new_conv_rank or settings.new_rank if spatial else settings.new_rank
    if settings.dynamic_method and settings.dynamic_param:
        rank = min(rank, wanted_rank(singular.s_K, settings.dynamic_method, settings.dynamic_param))
    kept = float(singular.s_K[:rank].norm() / singular.s_K.norm()) if singular.s_K.any() else 1.0
    return Resized(
        old.rank, Factors(*singular.cut(rank), old.scale, old.kernel), kept, float(singular.s_K[0]) * old.scale
    )


def _metadata(settings: ResizeSettings, network: Network, modules: dict[str, Factors]) -> dict[str, str]:
    """The file's own, with the new ranks, and the resizing told before the comment."""
    metadata = {key: value for key, value in network.metadata.items() if not key.startswith("sshs_")}
    was, comment = metadata.get("ss_network_dim", "unknown"), metadata.get("ss_training_comment", "None")
    sizes = of_sizes(modules)
    if settings.dynamic_method:
        sizes |= {"ss_network_dim": DYNAMIC, "ss_network_alpha": DYNAMIC}
        limit = f"at most rank {settings.new_rank}"
        told = f"resized from rank {was} by {settings.dynamic_method} {settings.dynamic_param:g}, {limit}"
    else:
        told = f"resized from rank {was} to {settings.new_rank}"
    return {**metadata, **sizes, "ss_training_comment": f"{told}; {comment}"}
