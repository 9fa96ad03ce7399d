"""The error per pixel, the widths of the Huber losses, and masks."""

import math

import pytest
import torch

from sd_scripts.config.loss import LossConfig
from sd_scripts.objective.loss import apply_mask, error, width_table

ALPHAS_CUMPROD = torch.tensor([0.99915, 0.5, 0.2, 0.0])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("l2", 0.09),
        ("l1", 0.3),
        ("huber", 2 * 0.4 * (0.5 - 0.4)),
        ("smooth_l1", 2 * (0.5 - 0.4)),
    ],
)
def test_the_error_of_a_difference_of_0_3_at_a_width_of_0_4(kind, expected):
    predicted, target = torch.full((2, 4, 3, 3), 1.3), torch.ones(2, 4, 3, 3)
    found = error(kind, predicted, target, torch.tensor([0.4, 0.4]))
    assert torch.allclose(found, torch.full_like(found, expected), atol=1e-6)


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="There is no loss called 'l3'"):
        error("l3", torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), None)


def test_each_sample_has_its_own_width():
    predicted = torch.full((2, 1, 1, 1), 0.3)
    found = error("smooth_l1", predicted, torch.zeros(2, 1, 1, 1), torch.tensor([0.4, 0.0]))
    assert found.flatten().tolist() == pytest.approx([0.2, 0.6], abs=1e-6)


SIGMA = [math.sqrt((1 - a) / a) for a in (0.99915, 0.5, 0.2)]
WIDTHS = {
    "constant": (dict(huber_c=0.1, huber_scale=2), [0.2] * 4),
    "exponential": (dict(huber_c=0.1, huber_scale=2), [2 * 0.1**share for share in (0, 0.25, 0.5, 0.75)]),
    "snr": (dict(huber_c=0.1, huber_scale=2), [0.9 / (1 + sigma) ** 2 + 0.1 for sigma in SIGMA] + [0.1]),
}


@pytest.mark.parametrize("schedule", WIDTHS)
@pytest.mark.parametrize("kind", ["huber", "smooth_l1"])
def test_the_width_follows_its_schedule_even_where_no_signal_is_left(schedule, kind):
    settings, expected = WIDTHS[schedule]
    table = width_table(LossConfig(loss_type=kind, huber_schedule=schedule, **settings), ALPHAS_CUMPROD)
    assert table is not None
    assert table.tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_the_plain_losses_have_no_width(kind):
    assert width_table(LossConfig(loss_type=kind), ALPHAS_CUMPROD) is None


def test_a_mask_is_averaged_down_to_the_latents_and_the_mean_is_not_divided_by_its_area():
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :2] = 1
    masked = apply_mask(torch.ones(1, 4, 2, 2), mask)
    assert torch.equal(masked[0, 0], torch.tensor([[0.5, 0.0], [0.5, 0.0]]))
    assert masked.mean().item() == 0.25
