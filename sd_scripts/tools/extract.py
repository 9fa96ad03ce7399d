"""Makes a LoRA of the difference between two models: for each layer the nearest matrix of the rank asked for.

B A = U_r S_r V_r of W_tuned - W_original, with alpha = rank, so that the network at strength 1 is that difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import UserError
from .factors import Singular, device_of, of_matrix
from .networks import Factors, saved_dtype, words
from .places import TEXTS, Model, is_target, open_model, stored_as_convolution
from .records import VERSIONS, of_sizes, save, specification
from .settings import ExtractSettings
from .tool import Say


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
    modules, kept = {}, []
    for name in names:
        if not name.startswith(tuple(left_out) or "-"):
            modules[name], share = _extracted(name, settings, original, tuned, device)
            kept.append(share)
    if not any(factors.up_OR.any() for factors in modules.values()):
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


def _extracted(
    name: str, settings: ExtractSettings, original: Model, tuned: Model, device: torch.device
) -> tuple[Factors, float]:
    """The module, and the share of the difference that it keeps. A rank above the layer's own sides is cut to these."""
    delta = _difference(name, original, tuned)
    spatial = delta.ndim == 4 and delta.shape[2:] != (1, 1)
    singular = of_matrix(delta.flatten(1).to(device))
    rank = min(settings.conv_dim or settings.dim if spatial else settings.dim, len(singular.s_K))
    up_OR, down_RI = _clamped(singular, rank, settings.clamp_quantile)
    kernel = tuple(delta.shape[1:])
    if len(kernel) == 1 and stored_as_convolution(name, original.family):
        kernel = (*kernel, 1, 1)
    lost = (delta.flatten(1) - (up_OR @ down_RI).cpu()).norm()
    return Factors(up_OR, down_RI, 1.0, kernel), float(1 - lost / delta.norm()) if delta.any() else 1.0


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


def _metadata(settings: ExtractSettings, family: str, modules: Mapping[str, Factors], save_to: Path) -> dict[str, str]:
    velocity = settings.v_parameterization
    version = VERSIONS[family] + ("_v" if velocity and family == "sd2" else "")
    metadata = {"ss_v2": str(family == "sd2"), "ss_base_model_version": version, **of_sizes(modules)}
    return metadata if settings.no_metadata else metadata | specification(family, velocity, save_to)
