"""LyCORIS as the independent reference: the same files mean the same there and here."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sd_scripts import adapters
from sd_scripts.adapters.factorization import butterfly, split
from sd_scripts.config.network import NetworkConfig
from sd_scripts.families.base import Target

LAYERS = {
    "linear": (lambda: nn.Linear(6, 8), (2, 5, 6)),
    "point": (lambda: nn.Conv2d(4, 8, 1), (2, 4, 5, 5)),
    "spatial": (lambda: nn.Conv2d(4, 8, 3, stride=2, padding=1), (2, 4, 6, 6)),
}
NAME = "lora_unet_layer"
KINDS: list[tuple[str, str, str, dict[str, Any], dict[str, Any]]] = [
    # algo, module of lycoris, class, our settings, theirs where they are named otherwise
    ("locon", "locon", "LoConModule", {}, {}),
    ("locon", "locon", "LoConModule", {"use_tucker": True}, {}),
    ("locon", "locon", "LoConModule", {"rs_lora": True}, {}),
    ("locon", "locon", "LoConModule", {"use_scalar": True}, {}),
    ("locon", "locon", "LoConModule", {"dora_wd": True}, {"weight_decompose": True}),
    (
        "locon", "locon", "LoConModule", {"dora_wd": True, "wd_on_output": False},
        {"weight_decompose": True, "wd_on_out": False},
    ),
    ("loha", "loha", "LohaModule", {}, {}),
    ("loha", "loha", "LohaModule", {"use_tucker": True}, {}),
    ("loha", "loha", "LohaModule", {"dora_wd": True}, {"weight_decompose": True}),
    ("lokr", "lokr", "LokrModule", {}, {}),
    ("lokr", "lokr", "LokrModule", {"network_dim": 1}, {}),
    ("lokr", "lokr", "LokrModule", {"network_dim": 1, "use_tucker": True}, {}),
    (
        "lokr", "lokr", "LokrModule",
        {"network_dim": 1, "factor": 2, "unbalanced_factorization": True, "decompose_both": True}, {},
    ),
    ("lokr", "lokr", "LokrModule", {"full_matrix": True, "dora_wd": True}, {"weight_decompose": True}),
    ("lokr", "lokr", "LokrModule", {"network_dim": 10**10}, {}),
    ("ia3", "ia3", "IA3Module", {}, {}),
    ("ia3", "ia3", "IA3Module", {"train_on_input": True}, {}),
    ("glora", "glora", "GLoRAModule", {}, {}),
    ("diag-oft", "diag_oft", "DiagOFTModule", {}, {}),
    ("diag-oft", "diag_oft", "DiagOFTModule", {"constraint": 0.01, "rescaled": True}, {}),
    ("boft", "boft", "ButterflyOFTModule", {}, {}),
    ("boft", "boft", "ButterflyOFTModule", {"constraint": 0.01, "rescaled": True}, {}),
    ("full", "full", "FullModule", {}, {}),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _lycoris() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("lycoris")


def theirs(file: str, name: str, layer: nn.Module, settings: dict[str, Any]) -> nn.Module:
    kind = getattr(importlib.import_module(f"lycoris.modules.{file}"), name)
    rank, alpha = settings.pop("network_dim", 4), settings.pop("network_alpha", 2.0)
    return kind(NAME, layer, lora_dim=rank, alpha=alpha, bypass_mode=False, **settings)


def ours(algo: str, layer: nn.Module, settings: dict[str, Any]) -> Any:
    wanted = {"network_dim": 4, "network_alpha": 2.0, **settings}
    network = NetworkConfig(network_module="lycoris.kohya", algo=algo, **wanted)
    return adapters.create(network, [Target(NAME, layer, "unet", role="resnet")])


def randomized(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize("shape", LAYERS)
@pytest.mark.parametrize(("algo", "file", "name", "settings", "named"), KINDS)
def test_a_file_means_the_same_there(
    algo: str, file: str, name: str, settings: dict[str, Any], named: dict[str, Any], shape: str
) -> None:
    """Their tensors, drawn at random, have the names, shapes and effect here that they have there."""
    torch.manual_seed(0)
    make, size = LAYERS[shape]
    layer, x = make(), torch.randn(size)
    own = ours(algo, layer, settings)
    unchanged = {key: value for key, value in settings.items() if key not in ("dora_wd", "wd_on_output")}
    other = randomized(theirs(file, name, layer, {**unchanged, **named}))
    with torch.no_grad():
        tensors = (
            {f"{NAME}.{key}": torch.as_tensor(value).clone() for key, value in other.custom_state_dict().items()}
            if (
                hasattr(type(other), "custom_state_dict")
                and other.custom_state_dict() is not None
                and name != "FullModule"
            )
            else their_plain(other, name)
        )
        reference = other(x)
    assert {key: value.shape for key, value in own.state_dict().items()} == {k: v.shape for k, v in tensors.items()}
    assert own.load_state_dict(tensors) == []
    own.attach()
    own.train(False)
    assert torch.allclose(layer(x), reference, atol=2e-5)


def their_plain(module: nn.Module, name: str) -> dict[str, Tensor]:
    """State of the kinds that make nothing of it when they save."""
    if name == "FullModule":
        return {f"{NAME}.diff": module.weight.detach().clone(), f"{NAME}.diff_b": module.bias.detach().clone()}
    return {f"{NAME}.{key}": value.clone() for key, value in module.state_dict().items()}


@pytest.mark.parametrize("width", [1, 7, 8, 12, 64, 127, 128, 250, 320, 360, 512, 640, 768, 1280])
@pytest.mark.parametrize("factor", [-1, 1, 2, 3, 4, 8, 16])
def test_widths_are_split_as_there(width: int, factor: int) -> None:
    functional = importlib.import_module("lycoris.functional.general")
    assert split(width, factor) == functional.factorization(width, factor)
    if factor > 1:
        reference = functional.power2factorization(width, factor)
        assert butterfly(width, factor) == (reference if reference[1] else None)


@pytest.mark.parametrize(
    ("make", "x"), [(lambda: nn.GroupNorm(2, 4), (2, 4, 3, 3)), (lambda: nn.LayerNorm(6), (2, 5, 6))]
)
def test_norms_mean_the_same_there(make: Any, x: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer, given = make(), torch.randn(x)
    other = randomized(importlib.import_module("lycoris.modules.norms").NormModule(NAME, layer, bypass_mode=False))
    network = NetworkConfig(network_module="lycoris.kohya", algo="loha", train_norm=True)
    own = adapters.create(network, [Target(NAME, layer, "unet", role="resnet")])
    with torch.no_grad():
        reference = other(given)
    assert own.load_state_dict({f"{NAME}.{key}": getattr(other, key).data for key in ("w_norm", "b_norm")}) == []
    own.attach()
    assert torch.allclose(layer(given), reference, atol=1e-5)


@pytest.mark.parametrize("alpha", [3.0, 1e10, float("inf")])
def test_the_alpha_of_whole_matrices_means_nothing(alpha: float) -> None:
    """People ask for whole matrices by a rank of 10,000,000,000, which is too much for a half number."""
    layer = nn.Linear(6, 8)
    own = ours("lokr", layer, {"full_matrix": True})
    tensors = {f"{NAME}.lokr_w1": torch.ones(2, 2), f"{NAME}.lokr_w2": torch.ones(4, 3)}
    file = {**tensors, f"{NAME}.alpha": torch.tensor(alpha)}
    x, before = torch.ones(1, 6), layer(torch.ones(1, 6))
    assert own.load_state_dict(file) == []
    own.attach()
    assert torch.allclose(layer(x) - before, torch.full((1, 8), 6.0), atol=1e-5)
    own.detach()
    assert adapters.merge(file, [Target(NAME, layer, "unet")], 1.0) == []
    assert torch.allclose(layer(x) - before, torch.full((1, 8), 6.0), atol=1e-5)
