"""Makes a network of the difference between two models: for each layer the nearest matrix of the rank asked for.

B A = U_r S_r V_r of W_tuned - W_original, with alpha = rank, so that the network at strength 1 is that difference. Or a
LoHa of it, see `hadamard`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import UserError
from . import hadamard
from .factors import Singular, device_of, of_matrix
from .hadamard import Hadamard
from .networks import Factors, saved_dtype, words
from .places import TEXTS, Model, is_target, open_model, stored_as_convolution
from .progress import counted
from .records import VERSIONS, of_sizes, save, specification
from .settings import ExtractSettings
from .tool import Say

Module = Factors | Hadamard


def run(settings: ExtractSettings, say: Say) -> None:
    original = open_model(settings.model_org, "model_org")
    tuned = open_model(settings.model_tuned, "model_tuned")
    names = _common_layers(original, tuned, settings.conv_dim is not None)
    left_out = [prefix for prefix in TEXTS if _is_unchanged(prefix, names, original, tuned, settings.min_diff)]
    for prefix in left_out:
        say(
            f"Note: {prefix.strip('_')} is left out: no weight of the text encoder changed by more than "
            f"{settings.min_diff:g}."
        )
    device = device_of(settings.device)
    modules: dict[str, Module] = {}
    kept = []
    for name in counted((name for name in names if not name.startswith(tuple(left_out) or "-")), say):
        delta = _difference(name, original, tuned)
        kernel = _kernel(name, delta, original.family)
        modules[name] = module = _extracted(delta.flatten(1).to(device), kernel, settings)
        kept += [_share_kept(delta.flatten(1), module)] if delta.any() else []
    if not kept:
        raise UserError(
            f"model_tuned: {settings.model_tuned} is no different from {settings.model_org}; there is nothing to "
            "extract."
        )
    save_to = Path(settings.save_to).expanduser()
    dtype = saved_dtype(
        settings.save_precision, next(place.file.entries[place.key].dtype for place in tuned.layers.values())
    )
    save(save_to, modules, dtype, _metadata(settings, original.family, modules, save_to))
    say(
        f"Saved {save_to}: {len(modules)} modules; kept of the difference (Frobenius norm): {min(kept):.1%} to "
        f"{max(kept):.1%}."
    )


def _common_layers(original: Model, tuned: Model, convolutions: bool) -> list[str]:
    """Names of the layers that networks are trained for. Raises UserError where the models are of different kinds."""
    names = [name for name in original.layers if is_target(name, convolutions)]
    for name in names:
        if name not in tuned.layers or tuned.layers[name].shape[:2] != original.layers[name].shape[:2]:
            there = tuned.layers.get(name)
            found = f"is {words(there.shape)}" if there else "is missing"
            raise UserError(
                f"model_tuned: {tuned.path} was not tuned from {original.path}: {name} {found} there, "
                f"and {words(original.layers[name].shape)} in the original."
            )
    return names


def _difference(name: str, original: Model, tuned: Model) -> Tensor:
    """In float32, in the original's shape."""
    before = original.layers[name].weight().float()
    return tuned.layers[name].weight().float().reshape(before.shape) - before


def _is_unchanged(prefix: str, names: list[str], original: Model, tuned: Model, min_diff: float) -> bool:
    own = [name for name in names if name.startswith(prefix)]
    return (
        bool(own)
        and min_diff > 0
        and all(float(_difference(name, original, tuned).abs().max()) <= min_diff for name in own)
    )


def _kernel(name: str, delta: Tensor, family: str) -> tuple[int, ...]:
    """The shape of one output's weight, as files hold it."""
    kernel = tuple(delta.shape[1:])
    return (*kernel, 1, 1) if len(kernel) == 1 and stored_as_convolution(name, family) else kernel


def _extracted(delta_OI: Tensor, kernel: tuple[int, ...], settings: ExtractSettings) -> Module:
    """A rank above the layer's own sides is cut to these."""
    spatial = len(kernel) == 3 and kernel[1:] != (1, 1)
    rank = min(settings.conv_dim or settings.dim if spatial else settings.dim, *delta_OI.shape)
    if settings.algo == "loha":
        return hadamard.nearest(delta_OI, rank)
    up_OR, down_RI = _clamped(of_matrix(delta_OI), rank, settings.clamp_quantile)
    return Factors(up_OR, down_RI, 1.0, kernel)


def _share_kept(delta_OI: Tensor, module: Module) -> float:
    found_OI = module.product() if isinstance(module, Hadamard) else module.up_OR @ module.down_RI
    return float(1 - (delta_OI - found_OI.cpu()).norm() / delta_OI.norm())


def _clamped(singular: Singular, rank: int, quantile: float) -> tuple[Tensor, Tensor]:
    """The singular values stand above; then both are cut to the `quantile` of all their numbers, as sd-scripts does
    it."""
    up_OR, down_RI = singular.u_OK[:, :rank] * singular.s_K[:rank], singular.v_KI[:rank]
    numbers = torch.cat([up_OR.flatten(), down_RI.flatten()])
    if quantile < 1:
        place = max(int(quantile * (len(numbers) - 1)), 0)
        limit = float(numbers.kthvalue(place + 1).values)
        up_OR, down_RI = up_OR.clamp(-limit, limit), down_RI.clamp(-limit, limit)
    return up_OR, down_RI


def _metadata(settings: ExtractSettings, family: str, modules: Mapping[str, Module], save_to: Path) -> dict[str, str]:
    velocity = settings.v_parameterization
    version = VERSIONS[family] + ("_v" if velocity and family == "sd2" else "")
    loras = {name: module for name, module in modules.items() if isinstance(module, Factors)}
    sizes = of_sizes(loras) if loras else _sizes_of_loha(settings)
    metadata = {"ss_v2": str(family == "sd2"), "ss_base_model_version": version, **sizes}
    return metadata if settings.no_metadata else metadata | specification(family, velocity, save_to)


def _sizes_of_loha(settings: ExtractSettings) -> dict[str, str]:
    convolutions = {"conv_dim": str(settings.conv_dim), "conv_alpha": str(settings.conv_dim)}
    return {
        "ss_network_module": "lycoris.kohya",
        "ss_network_dim": str(settings.dim),
        "ss_network_alpha": str(settings.dim),
        "ss_network_args": json.dumps({"algo": "loha", **(convolutions if settings.conv_dim else {})}),
    }
