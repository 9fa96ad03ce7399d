"""The weights of the timesteps, against the formulas worked out by hand at chosen signal-to-noise ratios."""

import math

import pytest
import torch

from sd_scripts.config.loss import LossConfig
from sd_scripts.objective import weighting

SNRS = [0.005, 0.5, 1.0, 5.0, 20.0, 1175.0]


def table(is_v: bool = False, **settings) -> list[float]:
    alphas_cumprod = torch.tensor([s / (1 + s) for s in SNRS], dtype=torch.float64)
    weights = weighting.table(alphas_cumprod, LossConfig(**settings), is_v)
    assert weights is not None
    return weights.tolist()


CASES = {
    "min-SNR, noise": (dict(min_snr_gamma=5), False, [1, 1, 1, 1, 0.25, 5 / 1175]),
    "min-SNR, velocity": (dict(min_snr_gamma=5), True, [0.005 / 1.005, 0.5 / 1.5, 0.5, 5 / 6, 5 / 21, 5 / 1176]),
    "velocity like noise": (
        dict(scale_v_pred_loss_like_noise_pred=True), True, [0.005 / 1.005, 1 / 3, 0.5, 5 / 6, 20 / 21, 1000 / 1001],
    ),
    "noise like velocity": (
        dict(v_pred_like_loss=0.1), False, [1 + 0.1 * 201, 1.3, 1.2, 1.12, 1.105, 1 + 0.1 * 1001 / 1000],
    ),
    "debiased, noise": (
        dict(debiased_estimation_loss=True), False,
        [1 / math.sqrt(0.005), math.sqrt(2), 1, 1 / math.sqrt(5), 1 / math.sqrt(20), 1 / math.sqrt(1000)],
    ),
    "debiased, velocity": (
        dict(debiased_estimation_loss=True), True, [1 / 1.005, 1 / 1.5, 1 / 2, 1 / 6, 1 / 21, 1 / 1001],
    ),
    "they multiply": (
        dict(min_snr_gamma=5, v_pred_like_loss=0.1, debiased_estimation_loss=True), False,
        [20.1 + 1, 1.3, 1.2, 1.12, 0.25 * 1.105, 5 / 1175 * 1.1001],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_weight_is_its_formula(case):
    settings, is_v, expected = CASES[case]
    if case == "they multiply":
        debiased = [1 / math.sqrt(min(s, 1000)) for s in SNRS]
        expected = [weight * factor for weight, factor in zip(expected, debiased, strict=True)]
    assert table(is_v, **settings) == pytest.approx(expected, rel=1e-9)


def test_without_a_weight_there_is_no_table():
    assert weighting.table(torch.tensor([0.5]), LossConfig(), False) is None
