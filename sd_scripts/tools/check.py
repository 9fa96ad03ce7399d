"""Looks through a network file for what should not be in it: numbers that are not finite, and modules without
effect."""

from __future__ import annotations

from torch import Tensor

from ..adapters import kind_of
from ..errors import UserError
from .networks import open_network
from .progress import amount, counted
from .settings import CheckSettings
from .tool import Say


def run(settings: CheckSettings, say: Say) -> None:
    """Raises UserError where a number is not finite, or a module of no known kind."""
    network = open_network(settings.file, "file")
    broken, silent = [], []
    for module in counted(network.modules, say):
        tensors = network.tensors(module)
        kind_of(module, tensors)
        bad = [rest for rest, tensor in tensors.items() if not tensor.float().isfinite().all()]
        broken += [f"{module}.{rest}" for rest in bad]
        zero = not bad and _is_silent(tensors)
        silent += [module] * zero
        if settings.show_all_keys or bad or zero:
            for rest, tensor in tensors.items():
                say(f"{module}.{rest}: {_figures(tensor)}")
    parts = amount(len(network.modules), "module"), f"{len(silent)} without effect", amount(len(broken), "tensor")
    say(f"{', '.join(parts)} with numbers that are not finite.")
    if broken:
        raise UserError(
            f"file: {settings.file} is broken: {broken[0]} holds numbers that are not finite; use an earlier file of "
            "the training."
        )


def _is_silent(tensors: dict[str, Tensor]) -> bool:
    """Whether one of the factors, which are multiplied with each other, is nothing but zeros."""
    return any(not tensor.any() for rest, tensor in tensors.items() if rest not in ("alpha", "dora_scale", "bias"))


def _figures(tensor: Tensor) -> str:
    shape = " x ".join(map(str, tensor.shape)) or "one number"
    numbers = tensor.float()
    figures = f"mean of sizes {numbers.abs().mean():.4g}, largest {numbers.abs().max():.4g}, norm {numbers.norm():.4g}"
    return f"{shape}, {figures}" if tensor.numel() > 1 else f"{shape}, {numbers.item():.4g}"
