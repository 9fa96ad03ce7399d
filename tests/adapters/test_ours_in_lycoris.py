"""Files of ours in the program that knows these kinds: read by its own loader, with the same outputs."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sd_scripts import adapters
from sd_scripts.config.network import NetworkConfig
from sd_scripts.families.base import Target

NAME = "lora_unet_mid_block_resnets_0_conv1"
LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(12, 16), (3, 12)),
    "conv": (lambda: nn.Conv2d(8, 16, 3, padding=1), (2, 8, 5, 5)),
}
NORMS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "group norm": (lambda: nn.GroupNorm(2, 8), (2, 8, 3, 3)),
    "layer norm": (lambda: nn.LayerNorm(12), (3, 12)),
}
KINDS = [
    ("locon", {}), ("locon", {"dora_wd": True}), ("locon", {"use_tucker": True}), ("loha", {}),
    ("loha", {"use_tucker": True}), ("loha", {"dora_wd": True}), ("lokr", {"factor": 4}),
    ("lokr", {"decompose_both": True, "network_dim": 1, "factor": 4}), ("lokr", {"full_matrix": True}), ("ia3", {}),
    ("dylora", {}), ("glora", {}), ("diag-oft", {}), ("diag-oft", {"constraint": 0.01, "rescaled": True}), ("boft", {}), ("full", {}),
]  # fmt: skip


every_kind = pytest.mark.parametrize(
    ("algo", "more"), KINDS, ids=lambda value: value if isinstance(value, str) else "+".join(value)
)


@pytest.mark.parametrize("shape", LAYERS)
@every_kind
def test_a_file_of_ours_does_there_what_it_does_here(algo: str, more: dict[str, Any], shape: str) -> None:
    make, size = LAYERS[shape]
    layer = make()
    assert_same_there(layer, layer, torch.randn(size), {"algo": algo, **more})


@pytest.mark.parametrize("shape", NORMS)
def test_so_does_a_trained_normalization(shape: str) -> None:
    make, size = NORMS[shape]
    layer = make()
    assert_same_there(layer, layer, torch.randn(size), {"algo": "loha", "train_norm": True})


@every_kind
def test_a_projection_of_sd2_is_linear_here_and_a_convolution_there(algo: str, more: dict[str, Any]) -> None:
    layer, convolution = nn.Linear(12, 16), nn.Conv2d(12, 16, 1)
    convolution.load_state_dict({"weight": layer.weight.data[:, :, None, None], "bias": layer.bias.data})
    assert_same_there(layer, convolution, torch.randn(3, 12), {"algo": algo, **more})


def assert_same_there(layer: nn.Module, there: nn.Module, x: Tensor, settings: dict[str, Any]) -> None:
    """there: the layer with the shape that files have it in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        modules = pytest.importorskip("lycoris.modules")
    torch.manual_seed(0)
    layer.requires_grad_(False)
    network = NetworkConfig(**{"network_module": "lycoris.kohya", "network_dim": 4, "network_alpha": 2.0, **settings})
    as_convolution = there is not layer
    target = Target(NAME, layer, "unet", role="resnet", stored_as_convolution=as_convolution)
    own = adapters.create(network, [target])
    for parameter in own.modules.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    kind, values = modules.get_module(own.state_dict(), NAME)
    if settings["algo"] == "ia3":  # its own loader does not take what its own reader finds
        values = values[:1]
    theirs = modules.make_module(kind, values, NAME, there.requires_grad_(False))
    assert theirs is not None
    plain = layer(x)
    with torch.no_grad():
        reference = theirs.eval()(x[:, :, None, None] if as_convolution else x).reshape(plain.shape)
    own.attach()
    own.train(False)
    assert torch.allclose(layer(x), reference, atol=2e-5)
    assert not torch.allclose(plain, reference, atol=1e-2)
