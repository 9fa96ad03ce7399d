"""The kinds of networks. A kind is one file in `sd_scripts/adapters` and one row here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

LYCORIS_MODULE = "lycoris.kohya"
USUAL_ALGORITHM = "lora"
"""What it trains where none is chosen."""

Cost = Callable[[int, int, int], int]


@dataclass(frozen=True)
class NetworkKind:
    """adapter: its class, in `sd_scripts.adapters`. module, algorithms: what chooses it as `network_module`, and as
    `algo` of lycoris.kohya. has_halves: LoRA's two matrices, which LoRA+ trains at rates of their own. is_factored: its
    change of a weight is a product that can be in Tucker form and under DoRA. usual_rates: of the U-Net with AdamW,
    where they are far from LoRA's 1e-5 to 1e-3. cost: how many numbers it learns for a layer's inputs, outputs and
    rank; None where no simple sum tells."""

    name: str
    adapter: str
    module: str | None = None
    algorithms: tuple[str, ...] = ()
    has_rank: bool = True
    has_alpha: bool = True
    has_halves: bool = False
    is_factored: bool = False
    usual_rates: tuple[float, float] | None = None
    cost: Cost | None = None


def _two_matrices(inputs: int, outputs: int, rank: int) -> int:
    return rank * (inputs + outputs)


def _four_matrices(inputs: int, outputs: int, rank: int) -> int:
    return 2 * _two_matrices(inputs, outputs, rank)


def _whole_weight(inputs: int, outputs: int, _rank: int) -> int:
    return inputs * outputs


_ROWS = (
    NetworkKind("lora", "lora:Lora", "networks.lora", has_halves=True, cost=_two_matrices),
    NetworkKind("lora_fa", "lora_fa:LoraFA", "networks.lora_fa", usual_rates=(5e-4, 2e-2)),
    NetworkKind("dylora", "dylora:Dylora", "networks.dylora", has_halves=True, cost=_two_matrices),
    NetworkKind("oft", "oft:Oft", "networks.oft"),
    NetworkKind(
        "locon", "locon:Locon", None, ("lora", "locon"), has_halves=True, is_factored=True, cost=_two_matrices
    ),
    NetworkKind("loha", "loha:Loha", "networks.loha", ("loha",), is_factored=True, cost=_four_matrices),
    NetworkKind("lokr", "lokr:Lokr", "networks.lokr", ("lokr",), is_factored=True),
    NetworkKind("ia3", "ia3:IA3", None, ("ia3",), has_rank=False, has_alpha=False, usual_rates=(5e-3, 1.0)),
    NetworkKind("lycoris_dylora", "dylora:LycorisDylora", None, ("dylora",), has_halves=True, cost=_two_matrices),
    NetworkKind("glora", "glora:Glora", None, ("glora",)),
    NetworkKind("diag-oft", "oft:DiagOft", None, ("diag-oft",), has_alpha=False, usual_rates=(2e-4, 5e-2)),
    NetworkKind("boft", "boft:Boft", None, ("boft",), has_alpha=False),
    NetworkKind(
        "full", "full:Full", None, ("full",), has_rank=False, has_alpha=False,
        usual_rates=(1e-7, 1e-4), cost=_whole_weight,
    ),
)  # fmt: skip
KINDS = {kind.name: kind for kind in _ROWS}
"""What a file holds is looked for in this order."""


def modules() -> dict[str, str]:
    """What can stand in `network_module` -> the kind. A `sd_scripts.` before it means the same."""
    own = {kind.module: kind.name for kind in KINDS.values() if kind.module}
    return {**own, LYCORIS_MODULE: algorithms()[USUAL_ALGORITHM]}


def algorithms() -> dict[str, str]:
    """`algo` with lycoris.kohya -> the kind."""
    return {algorithm: kind.name for kind in KINDS.values() for algorithm in kind.algorithms}


def of_lycoris(fits: Callable[[NetworkKind], bool] = lambda kind: True) -> tuple[str, ...]:
    """The kinds of lycoris.kohya that fit."""
    return tuple(kind.name for kind in KINDS.values() if kind.algorithms and fits(kind))


def those(fits: Callable[[NetworkKind], bool]) -> tuple[str, ...]:
    """All kinds that fit, in the order in which `network_module` and `algo` offer them."""
    offered = dict.fromkeys((*modules().values(), *of_lycoris()))
    return tuple(name for name in offered if fits(KINDS[name]))
