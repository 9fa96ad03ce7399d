"""Ranks, alphas and rates of the 25 blocks, against numbers put together by hand."""

from __future__ import annotations

import math

import pytest
from torch import nn

from sd_scripts.adapters.base import Size
from sd_scripts.adapters.blocks import curve_values, rate_factors, size_of
from sd_scripts.config.network import NetworkConfig
from sd_scripts.families.base import Target

SIN = [math.sin(math.pi / 2 * i / 11) for i in range(12)]
LINE = [i / 11 for i in range(12)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("sine", SIN), ("cosine", SIN[::-1]), ("linear", LINE), ("reverse_linear", LINE[::-1]), ("zeros", [0] * 12)],
)
def test_curves(name: str, expected: list[float]) -> None:
    assert curve_values(name, 0, 12) == pytest.approx(expected)
    assert curve_values(name, 0.25, 12) == pytest.approx([value + 0.25 for value in expected])


def test_factors_are_down_middle_up() -> None:
    found = rate_factors(NetworkConfig(down_lr_weight="linear", up_lr_weight="zeros+.5"))
    assert found == pytest.approx([*LINE, 1, *[0.5] * 12])


def test_without_any_there_are_no_factors() -> None:
    assert rate_factors(NetworkConfig()) is None


def test_factors_not_above_the_threshold_are_0() -> None:
    found = rate_factors(NetworkConfig(down_lr_weight="0.1,0.2,0.3,1,1,1,1,1,1,1,1,1", block_lr_zero_threshold=0.2))
    assert found is not None
    assert found[:4] == (0, 0, 0.3, 1)


LINEAR, SPATIAL, POINT = nn.Linear(2, 2), nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 1)
DIMS = tuple(range(25))


@pytest.mark.parametrize(
    ("settings", "module", "block", "size"),
    [
        ({}, LINEAR, None, Size(8, 4)),
        ({}, LINEAR, 3, Size(8, 4)),
        ({}, SPATIAL, 3, None),
        ({"conv_dim": 2}, SPATIAL, 3, Size(2, 1)),
        ({"conv_dim": 2, "conv_alpha": 0.5}, SPATIAL, 3, Size(2, 0.5)),
        ({"conv_dim": 2}, POINT, 3, Size(8, 4)),
        ({"block_dims": DIMS}, LINEAR, 3, Size(3, 4)),
        ({"block_dims": DIMS}, LINEAR, 0, None),
        ({"block_dims": DIMS}, LINEAR, None, Size(8, 4)),
        ({"block_dims": DIMS}, SPATIAL, 3, None),
        ({"block_dims": DIMS, "block_alphas": [i / 2 for i in DIMS]}, LINEAR, 24, Size(24, 12)),
        ({"block_alphas": [i / 2 for i in DIMS]}, LINEAR, 24, Size(8, 12)),
        ({"conv_block_dims": DIMS}, SPATIAL, 24, Size(24, 1)),
        ({"conv_block_dims": DIMS, "conv_block_alphas": [2] * 25}, SPATIAL, 24, Size(24, 2)),
        ({"conv_block_dims": DIMS}, SPATIAL, 0, None),
        ({"mid_lr_weight": "0"}, LINEAR, 12, None),
        ({"mid_lr_weight": "0"}, LINEAR, 13, Size(8, 4)),
        ({"mid_lr_weight": "0"}, LINEAR, None, Size(8, 4)),
    ],
)
def test_size_of_a_layer(settings: dict, module: nn.Module, block: int | None, size: Size | None) -> None:
    network = NetworkConfig(network_dim=8, network_alpha=4, **settings)
    assert size_of(Target("x", module, "unet", block), network) == size
