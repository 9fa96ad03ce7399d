"""How attention is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..config.schema import Notice

if TYPE_CHECKING:
    from ..config.precision import PrecisionConfig


def choose(networks: list[Any], precision: PrecisionConfig) -> list[Notice]:
    """Sets the attention of diffusers networks; PyTorch's own, with a notice, where xFormers can't be used."""
    from diffusers.models.attention_processor import AttnProcessor2_0

    for network in networks:
        network.set_attn_processor(AttnProcessor2_0())
    if precision.xformers:
        return _with_xformers(networks)
    if precision.mem_eff_attn and not precision.sdpa:
        _in_slices(networks)
    return []


def _with_xformers(networks: list[Any]) -> list[Notice]:
    try:
        for network in networks:
            network.enable_xformers_memory_efficient_attention()
    except (ImportError, ModuleNotFoundError):
        return [Notice("xformers", "xFormers is not installed, so PyTorch's own attention (SDPA) is used.")]
    except (ValueError, RuntimeError, NotImplementedError):
        return [
            Notice("xformers", "xFormers can't be used on this machine, so PyTorch's own attention (SDPA) is used.")
        ]
    return []


def _in_slices(networks: list[Any]) -> None:
    """One head at a time."""
    from diffusers.models.attention_processor import SlicedAttnProcessor

    for network in networks:
        network.set_attn_processor(SlicedAttnProcessor(slice_size=1))
