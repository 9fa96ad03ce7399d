"""Noise and loss settings: what is said about values that don't go together."""

import pytest
from pydantic import ValidationError

from sd_scripts.config.loss import LossConfig
from sd_scripts.config.noise import NoiseConfig
from sd_scripts.config.schema import Notice

SAID = {
    "empty range": (
        NoiseConfig(min_timestep=500, max_timestep=500), True,
        "min_timestep: It is 500; it must be below max_timestep, which is 500.",
    ),
    "adaptive without offset": (
        NoiseConfig(adaptive_noise_scale=0.1), False,
        "adaptive_noise_scale: It scales the noise offset, which is 0, so it has no effect.",
    ),
    "random strength without offset": (
        NoiseConfig(noise_offset_random_strength=True), False,
        "noise_offset_random_strength: It varies the noise offset, which is 0, so it has no effect.",
    ),
    "random strength without perturbation": (
        NoiseConfig(ip_noise_gamma_random_strength=True), False,
        "ip_noise_gamma_random_strength: It varies ip_noise_gamma, which is 0, so it has no effect.",
    ),
    "discount without octaves": (
        NoiseConfig(multires_noise_discount=0.8), False,
        "multires_noise_discount: It belongs to multires_noise_iterations, which is 0, so it has no effect.",
    ),
    "width without a Huber loss": (
        LossConfig(huber_c=0.2), False, "huber_c: It belongs to the losses huber and smooth_l1, so it has no "
        "effect on l2.",
    ),
    "scale of a schedule without one": (
        LossConfig(loss_type="huber", huber_scale=2), False,
        "huber_scale: The schedule snr knows no scale, so it has no effect; take constant or exponential.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID)
def test_values_that_do_not_go_together_are_said(case):
    group, stops, sentence = SAID[case]
    problems = list(group.relations())
    assert [str(problem) for problem in problems] == [sentence]
    assert [isinstance(problem, Notice) for problem in problems] == [not stops]


def test_a_zero_terminal_schedule_for_a_model_that_predicts_noise_is_noticed():
    (notice,) = NoiseConfig(zero_terminal_snr=True).problems_with("epsilon")
    assert isinstance(notice, Notice)
    assert str(notice) == (
        "zero_terminal_snr: A model that predicts noise learns nothing at a step without signal; use it with "
        "v_parameterization."
    )
    assert list(NoiseConfig(zero_terminal_snr=True).problems_with("v_prediction")) == []


def test_defaults_raise_no_word():
    for group in (NoiseConfig(), LossConfig()):
        assert [*group.relations(), *group.problems_with("epsilon"), *group.problems_with("v_prediction")] == []


@pytest.mark.parametrize(
    ("group", "given"),
    [
        (NoiseConfig, dict(noise_offset=1.1)), (NoiseConfig, dict(max_timestep=1001)), (NoiseConfig,
        dict(min_timestep=-1)),
        (LossConfig, dict(huber_c=0)), (LossConfig, dict(loss_type="l3")), (LossConfig, dict(prior_loss_weight=-1)),
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused(group, given):
    with pytest.raises(ValidationError):
        group(**given)
