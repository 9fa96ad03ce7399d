from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from sd_scripts import adapters
from sd_scripts.adapters.adapter_set import AdapterSet
from sd_scripts.config.network import NetworkConfig
from sd_scripts.families.base import Target


class Layers(nn.Module):
    """A linear layer, a 1x1 and a strided 3x3 convolution, as the U-Net has them."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.point, self.spatial = (
            nn.Linear(6, 8),
            nn.Conv2d(3, 5, 1),
            nn.Conv2d(3, 5, 3, stride=2, padding=1),
        )

    def forward(self, x_BTC: torch.Tensor, x_BCHW: torch.Tensor) -> list[torch.Tensor]:
        return [self.linear(x_BTC), self.point(x_BCHW), self.spatial(x_BCHW)]


@pytest.fixture
def layers() -> Layers:
    torch.manual_seed(0)
    return Layers()


@pytest.fixture
def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(2, 7, 6), torch.randn(2, 3, 4, 4)


@pytest.fixture
def targets(layers: Layers) -> list[Target]:
    return [
        Target("lora_te_linear", layers.linear, "text_encoder"),
        Target("lora_unet_point", layers.point, "unet", 1),
        Target("lora_unet_spatial", layers.spatial, "unet", 12),
    ]


@pytest.fixture
def made(targets: list[Target]) -> Callable[..., AdapterSet]:
    """Adapters whose every matrix is random, so that they change something."""

    def make(seed: int = 0, **settings: Any) -> AdapterSet:
        found = adapters.create(
            NetworkConfig(**{"network_dim": 4, "conv_dim": 2, "network_alpha": 2, **settings}), targets, seed=seed
        )
        torch.manual_seed(2)
        for parameter in found.modules.parameters():
            nn.init.normal_(parameter)
        return found

    return make
