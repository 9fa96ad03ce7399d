"""Makes LoRAs of every rank that a DyLoRA was trained for (Valipour et al. 2022, arXiv:2210.07558).

A DyLoRA of rank n that trained its first k ranks had them multiplied by alpha / n * sqrt(n / k). A file of rank k does
the same with alpha_k / k, so alpha_k = alpha * sqrt(k / n).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from ..errors import UserError
from .networks import Factors, open_network
from .records import of_sizes, save
from .settings import ExtractDyloraSettings
from .tool import Say


def run(settings: ExtractDyloraSettings, say: Say) -> None:
    network = open_network(settings.model, "model")
    whole = {name: network.factors(name) for name in network.modules}
    for rank in ranks_of(settings, whole):
        modules = {name: first_ranks(factors, rank) for name, factors in whole.items()}
        save_to = Path(settings.save_to).expanduser()
        file = save_to.with_name(f"{save_to.stem}-{rank:04}.safetensors")
        metadata = {key: value for key, value in network.metadata.items() if not key.startswith("sshs_")}
        comment = f"rank {rank} of a DyLoRA; {metadata.get('ss_training_comment', 'None')}"
        save(file, modules, network.dtype, {**metadata, **of_sizes(modules), "ss_training_comment": comment})
        say(f"Saved {file}: {len(modules)} modules of rank {rank}.")


def ranks_of(settings: ExtractDyloraSettings, modules: Mapping[str, Factors]) -> list[int]:
    """unit, 2 unit, ... up to the network's rank. Raises UserError where the unit does not fit it."""
    ranks = {factors.rank for factors in modules.values()}
    if len(ranks) > 1:
        found = ", ".join(map(str, sorted(ranks)))
        raise UserError(
            f"model: {settings.model} has modules of the ranks {found}, so it is no DyLoRA, whose modules have one "
            "rank."
        )
    rank = ranks.pop()
    if rank % settings.unit:
        raise UserError(
            f"unit: {settings.unit} does not divide the rank {rank} of {settings.model}; give the unit of its training."
        )
    return list(range(settings.unit, rank + 1, settings.unit))


def first_ranks(factors: Factors, rank: int) -> Factors:
    scale = factors.scale * math.sqrt(factors.rank / rank)
    return Factors(factors.up_OR[:, :rank], factors.down_RI[:rank], scale, factors.kernel)
