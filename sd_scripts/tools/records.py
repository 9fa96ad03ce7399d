"""What stands in the header of a network that a tool made, and how it is saved."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..adapters import hashes, modelspec
from ..adapters.io import saved
from ..families.tensor_file import Entry, check_room, sizes
from .networks import Factors, Network, base_family

PROGRAM = "sd-lora-studio"
VERSIONS = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0"}
KEPT = ("ss_v2", "ss_base_model_version")
DYNAMIC = "Dynamic"


class Module(Protocol):
    """A network's share in one layer."""

    def tensors(self) -> dict[str, Tensor]: ...


def save(path: Path, modules: Mapping[str, Module], dtype: torch.dtype, metadata: Mapping[str, str]) -> None:
    """Writes a network whole, with its hashes. Raises UserError."""
    tensors = {
        f"{name}.{rest}": value for name, factors in modules.items() for rest, value in factors.tensors().items()
    }
    save_tensors(path, tensors, dtype, metadata)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype, metadata: Mapping[str, str]) -> None:
    plain = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in tensors.items()}
    check_room(path, sizes(map(Entry.of, plain.values())))
    full = {**metadata, **hashes.tensor_hashes(plain, metadata)}
    with saved(path, "save_to") as new:
        save_file(plain, new, metadata=full)


def of_sizes(modules: Mapping[str, Factors]) -> dict[str, str]:
    """ss_network_dim and its like; "Dynamic" where modules differ, as sd-scripts' tools write it."""
    plain = [factors for factors in modules.values() if not _is_spatial(factors)]
    spatial = [factors for factors in modules.values() if _is_spatial(factors)]
    dim, alpha = _common(plain or spatial)
    args = dict(zip(("conv_dim", "conv_alpha"), _common(spatial), strict=True)) if spatial else {}
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": dim,
        "ss_network_alpha": alpha,
        "ss_network_args": json.dumps(args),
    }


def _is_spatial(factors: Factors) -> bool:
    return len(factors.kernel) == 3 and factors.kernel[1:] != (1, 1)


def _common(modules: Iterable[Factors]) -> tuple[str, str]:
    ranks = {factors.rank for factors in modules}
    alphas = {round(factors.scale * factors.rank, 6) for factors in modules}
    return str(ranks.pop()) if len(ranks) == 1 else DYNAMIC, str(alphas.pop()) if len(alphas) == 1 else DYNAMIC


def of_merge(
    networks: Sequence[Network], modules: Mapping[str, Factors], save_to: Path, no_metadata: bool
) -> dict[str, str]:
    """The fields by which programs tell what a merged network fits, and what it was merged from."""
    first = networks[0]
    family = base_family(first) or "sd1"
    metadata = {"ss_v2": str(family == "sd2"), "ss_base_model_version": VERSIONS[family]}
    metadata |= {key: first.metadata[key] for key in KEPT if key in first.metadata}
    metadata |= of_sizes(modules)
    velocity = metadata["ss_base_model_version"].endswith("_v")
    return (
        metadata
        if no_metadata
        else metadata | specification(family, velocity, save_to, [network.path for network in networks])
    )


def specification(family: str, velocity: bool, save_to: Path, merged_from: Sequence[Path] = ()) -> dict[str, str]:
    """ModelSpec fields of a network."""
    settings = {
        "metadata_title": save_to.stem,
        "v_parameterization": velocity,
        "metadata_merged_from": ", ".join(path.stem for path in merged_from) or None,
    }
    return modelspec.fields(settings, family, None, time.time(), PROGRAM)
