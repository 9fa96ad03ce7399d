"""Each noise and loss setting changes what is trained, and with every setting off nothing but plain noise is left."""

import pytest
import torch

from sd_scripts.config.loss import LossConfig
from sd_scripts.config.noise import NoiseConfig
from sd_scripts.objective import Objective

ALPHAS_CUMPROD = (1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2).cumprod(0).float()
LATENTS = torch.randn((4, 4, 8, 8), generator=torch.Generator().manual_seed(3)) + 0.5

# setting -> (its other value, what must be set beside it, prediction type)
NOISE = {
    "noise_offset": (0.1, {}, "epsilon"),
    "noise_offset_random_strength": (True, {"noise_offset": 0.1}, "epsilon"),
    "adaptive_noise_scale": (0.2, {"noise_offset": 0.1}, "epsilon"),
    "multires_noise_iterations": (3, {}, "epsilon"),
    "multires_noise_discount": (0.8, {"multires_noise_iterations": 3}, "epsilon"),
    "ip_noise_gamma": (0.1, {}, "epsilon"),
    "ip_noise_gamma_random_strength": (True, {"ip_noise_gamma": 0.1}, "epsilon"),
    "zero_terminal_snr": (True, {}, "v_prediction"),
    "min_timestep": (900, {}, "epsilon"),
    "max_timestep": (100, {}, "epsilon"),
}
LOSS = {
    "loss_type": ("l1", {}, "epsilon"),
    "huber_schedule": ("constant", {"loss_type": "huber"}, "epsilon"),
    "huber_c": (0.5, {"loss_type": "smooth_l1"}, "epsilon"),
    "huber_scale": (2.0, {"loss_type": "huber", "huber_schedule": "exponential"}, "epsilon"),
    "min_snr_gamma": (1.0, {}, "epsilon"),
    "scale_v_pred_loss_like_noise_pred": (True, {}, "v_prediction"),
    "v_pred_like_loss": (0.1, {}, "epsilon"),
    "debiased_estimation_loss": (True, {}, "epsilon"),
}
ELSEWHERE = {"masked_loss": "which masks are loaded", "prior_loss_weight": "the weights of a batch's images"}
"""Settings that decide what the data hands over."""


def outcome(noise: dict, loss: dict, prediction_type: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The disturbed latents, and the loss of an answer to them."""
    objective = Objective(NoiseConfig(**noise), LossConfig(**loss), ALPHAS_CUMPROD, prediction_type)
    noisy = objective.disturb(LATENTS, torch.Generator().manual_seed(5))
    return noisy.latents_BCHW, objective.loss(torch.zeros_like(LATENTS), noisy)


def test_every_setting_is_in_the_tables():
    assert {*NOISE} == {*NoiseConfig.model_fields}
    assert {*LOSS, *ELSEWHERE} == {*LossConfig.model_fields}


@pytest.mark.parametrize("key", NOISE)
def test_a_noise_setting_changes_the_disturbed_latents(key):
    value, beside, prediction_type = NOISE[key]
    before, after = (outcome({**beside, **more}, {}, prediction_type)[0] for more in ({}, {key: value}))
    assert not torch.allclose(before, after, atol=1e-4)


@pytest.mark.parametrize("key", LOSS)
def test_a_loss_setting_changes_the_loss_and_leaves_the_latents(key):
    value, beside, prediction_type = LOSS[key]
    before, after = (outcome({}, {**beside, **more}, prediction_type) for more in ({}, {key: value}))
    assert torch.equal(before[0], after[0])
    assert not torch.isclose(before[1], after[1], rtol=1e-3)


@pytest.mark.parametrize("key", [key for key in (*NOISE, *LOSS) if (NOISE | LOSS)[key][1]])
def test_a_setting_that_belongs_to_another_does_nothing_without_it(key):
    value, _, prediction_type = (NOISE | LOSS)[key]
    noise, loss = ({key: value}, {}) if key in NOISE else ({}, {key: value})
    for before, after in zip(outcome({}, {}, prediction_type), outcome(noise, loss, prediction_type), strict=True):
        assert torch.equal(before, after)
