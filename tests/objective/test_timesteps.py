"""Timesteps and the zero-terminal schedule."""

import math

import pytest
import torch

from sd_scripts.objective.timesteps import sample_timesteps, snr, zero_terminal_snr

ROOTS = [math.sqrt(0.00085) + i / 999 * (math.sqrt(0.012) - math.sqrt(0.00085)) for i in range(1000)]
ALPHAS_CUMPROD = [math.prod(1 - root**2 for root in ROOTS[: i + 1]) for i in range(1000)]


def test_timesteps_fill_the_range_without_its_upper_end():
    drawn = sample_timesteps(2000, 3, 7, torch.Generator().manual_seed(0))
    assert sorted(set(drawn.tolist())) == [3, 4, 5, 6]


def test_the_same_generator_draws_the_same_timesteps():
    first, second = (sample_timesteps(8, 0, 1000, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("t", [0, 1, 500, 998, 999])
def test_zero_terminal_snr_shifts_and_scales_the_root_of_the_schedule(t):
    first, last = math.sqrt(ALPHAS_CUMPROD[0]), math.sqrt(ALPHAS_CUMPROD[-1])
    expected = ((math.sqrt(ALPHAS_CUMPROD[t]) - last) * first / (first - last)) ** 2
    rescaled = zero_terminal_snr(torch.tensor(ALPHAS_CUMPROD))
    assert rescaled[t].item() == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_zero_terminal_snr_ends_at_exactly_nothing_and_keeps_its_first_step():
    rescaled = zero_terminal_snr(torch.tensor(ALPHAS_CUMPROD))
    assert rescaled[-1].item() == 0
    assert rescaled[0].item() == pytest.approx(0.99915, rel=1e-6)


def test_the_snr_of_stable_diffusion_has_its_known_ends():
    table = snr(torch.tensor(ALPHAS_CUMPROD, dtype=torch.float64))
    assert table[0].item() == pytest.approx(0.99915 / 0.00085, rel=1e-9)
    assert table[-1].item() == pytest.approx(0.00466010 / 0.99533990, rel=1e-4)
