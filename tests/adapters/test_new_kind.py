"""A new kind of network costs its file and its row: nothing else has to know of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from sd_scripts import adapters
from sd_scripts.adapters import io
from sd_scripts.adapters.weight_adapter import WeightAdapter, needed
from sd_scripts.config.network import NetworkConfig
from sd_scripts.config.network_kinds import KINDS, NetworkKind

ROOT = Path(__file__).parents[2]
TOY = NetworkKind("toy", "toy:Toy", "networks.toy", has_rank=False, has_alpha=False)


class Toy(WeightAdapter):
    """W (1 + g), with a factor for each output."""

    FILE_KEYS = ("toy_gain",)
    HOMOGENEOUS = ("toy_gain",)

    def __init__(self, target, network):
        super().__init__(target, network)
        self.toy_gain = nn.Parameter(torch.zeros(len(self.layer.weight)))

    @classmethod
    def make(cls, target, size, network, seed):
        return cls(target, network)

    def delta(self) -> Tensor:
        return self.delta_in_file({"toy_gain": self.toy_gain}, self.original())

    @classmethod
    def delta_in_file(cls, tensors, weight=None):
        weight = needed(weight)
        return weight * tensors["toy_gain"].reshape(-1, *[1] * (weight.ndim - 1))


@pytest.fixture
def file_and_row(monkeypatch):
    file = ModuleType("sd_scripts.adapters.toy")
    file.Toy = Toy
    monkeypatch.setitem(sys.modules, file.__name__, file)
    monkeypatch.setitem(KINDS, TOY.name, TOY)


@pytest.mark.usefixtures("file_and_row")
def test_it_is_trained_saved_loaded_and_merged(layers, inputs, targets, tmp_path):
    network = NetworkConfig(network_module="networks.toy")
    assert list(network.relations()) == []
    trained = adapters.create(network, targets)
    trained.attach()
    optimizer = torch.optim.SGD(trained.parameter_groups({"unet": 0.1, "text_encoder": 0.1}))
    for _ in range(3):
        optimizer.zero_grad()
        sum(output.square().mean() for output in layers(*inputs)).backward()
        optimizer.step()
    learned = layers(*inputs)
    trained.detach()
    assert all(gain.detach().max() < 0 for gain in trained.modules.parameters())

    io.save(tmp_path / "toy.safetensors", trained.state_dict(), {})
    tensors, _ = io.load(tmp_path / "toy.safetensors")
    again = adapters.create(network, targets, weights=tensors)
    assert again.load_state_dict(tensors) == []
    again.attach()
    assert all(torch.equal(a, b) for a, b in zip(layers(*inputs), learned, strict=True))
    again.detach()
    assert adapters.merge(tensors, targets, 1.0) == []
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(layers(*inputs), learned, strict=True))


SETTINGS = """
from sd_scripts.config.network_kinds import KINDS, NetworkKind
KINDS["toy"] = NetworkKind("toy", "toy:Toy", "networks.toy", ("toy",), is_factored=True)
from sd_scripts.config.network import NetworkConfig
for chosen in {"network_module": "networks.toy"}, {"network_module": "lycoris.kohya", "algo": "toy"}:
    settings = {**chosen, "network_dim": 7, "network_alpha": 3, "use_tucker": True}
    resolved = NetworkConfig(**settings).resolved()
    print(resolved.kind, *(getattr(resolved, key) for key in settings))
"""


def test_its_row_says_what_chooses_it_and_which_settings_it_has():
    """In a process of its own: settings are declared once, from the rows that are there."""
    done = subprocess.run([sys.executable, "-c", SETTINGS], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["toy networks.toy 7 3.0 True", "toy lycoris.kohya toy 7 3.0 True"]
