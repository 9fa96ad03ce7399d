"""Noise, target, loss and weights together, as a training step uses them."""

import pytest
import torch

from sd_scripts.config.loss import LossConfig
from sd_scripts.config.noise import NoiseConfig
from sd_scripts.errors import ConfigError
from sd_scripts.objective import Noisy, Objective
from sd_scripts.objective.weighting import table

BETAS = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
ALPHAS_CUMPROD = (1 - BETAS).cumprod(0).float()
LATENTS = torch.randn((5, 4, 8, 8), generator=torch.Generator().manual_seed(3))


def objective(prediction_type="epsilon", loss=None, **noise) -> Objective:
    return Objective(NoiseConfig(**noise), LossConfig(**(loss or {})), ALPHAS_CUMPROD, prediction_type)


def disturb(made: Objective, timesteps=None) -> Noisy:
    return made.disturb(LATENTS, torch.Generator().manual_seed(11), timesteps)


def test_noise_is_drawn_before_timesteps_and_both_from_the_generator_alone():
    generator = torch.Generator().manual_seed(11)
    noise, timesteps = (
        torch.randn(LATENTS.shape, generator=generator),
        torch.randint(0, 1000, (5,), generator=generator),
    )
    torch.manual_seed(99)
    noisy = disturb(objective())
    assert torch.equal(noisy.noise_BCHW, noise)
    assert torch.equal(noisy.timesteps_B, timesteps)
    a = ALPHAS_CUMPROD[timesteps].view(-1, 1, 1, 1)
    assert torch.allclose(noisy.latents_BCHW, a.sqrt() * LATENTS + (1 - a).sqrt() * noise, atol=1e-6)


def test_the_global_generator_is_left_alone():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    disturb(objective(noise_offset=0.1, multires_noise_iterations=6, ip_noise_gamma=0.1))
    assert torch.equal(torch.rand(1), expected)


def test_a_noise_model_answers_the_noise_and_a_velocity_model_the_velocity():
    noise = disturb(objective())
    assert torch.equal(noise.target_BCHW, noise.noise_BCHW)
    velocity = disturb(objective("v_prediction"))
    a = ALPHAS_CUMPROD[velocity.timesteps_B].view(-1, 1, 1, 1)
    expected = a.sqrt() * velocity.noise_BCHW - (1 - a).sqrt() * LATENTS
    assert torch.allclose(velocity.target_BCHW, expected, atol=1e-6)


def test_latents_can_be_had_back_from_the_velocity():
    noisy = disturb(objective("v_prediction"))
    a = ALPHAS_CUMPROD[noisy.timesteps_B].view(-1, 1, 1, 1)
    assert torch.allclose(a.sqrt() * noisy.latents_BCHW - (1 - a).sqrt() * noisy.target_BCHW, LATENTS, atol=1e-5)


def test_input_perturbation_changes_the_latents_and_not_the_target():
    plain, perturbed = disturb(objective()), disturb(objective(ip_noise_gamma=0.5))
    assert torch.equal(plain.target_BCHW, perturbed.target_BCHW)
    assert not torch.allclose(plain.latents_BCHW, perturbed.latents_BCHW, atol=1e-2)


def test_timesteps_stay_in_the_range_that_is_asked_for():
    made = objective(min_timestep=200, max_timestep=202)
    drawn = made.disturb(torch.zeros(64, 4, 2, 2), torch.Generator().manual_seed(0)).timesteps_B
    assert set(drawn.tolist()) == {200, 201}


def test_given_timesteps_are_used_as_they_are():
    assert disturb(objective(), torch.tensor([1, 2, 3, 4, 999])).timesteps_B.tolist() == [1, 2, 3, 4, 999]


def test_the_loss_of_each_sample_is_its_mean_times_the_weight_of_its_timestep():
    made = objective(loss=dict(min_snr_gamma=5))
    noisy = disturb(made)
    weights = table(ALPHAS_CUMPROD, LossConfig(min_snr_gamma=5), False)
    expected = (torch.zeros_like(LATENTS) - noisy.target_BCHW).square().mean(dim=(1, 2, 3)) * weights[noisy.timesteps_B]
    assert torch.allclose(made.losses(torch.zeros_like(LATENTS), noisy), expected)


def test_the_loss_of_a_batch_is_the_mean_of_the_samples_times_their_own_weights():
    made = objective()
    noisy = disturb(made)
    weights = torch.tensor([1.0, 0.5, 0.0, 2.0, 1.0])
    each = made.losses(torch.zeros_like(LATENTS), noisy)
    assert torch.allclose(made.loss(torch.zeros_like(LATENTS), noisy), each.mean())
    assert torch.allclose(made.loss(torch.zeros_like(LATENTS), noisy, weights_B=weights), (each * weights).sum() / 5)


def test_where_the_mask_is_dark_nothing_is_learned():
    made = objective()
    noisy = disturb(made)
    predicted = torch.zeros_like(LATENTS, requires_grad=True)
    mask = torch.zeros(5, 1, 64, 64)
    mask[..., 32:] = 1
    made.loss(predicted, noisy, mask).backward()
    assert predicted.grad[..., :4].abs().sum() == 0
    assert predicted.grad[..., 4:].abs().min() > 0


SETTINGS = {
    "everything for noise": ("epsilon", dict(min_snr_gamma=5, v_pred_like_loss=0.5, debiased_estimation_loss=True)),
    "everything for velocity": (
        "v_prediction", dict(min_snr_gamma=5, scale_v_pred_loss_like_noise_pred=True, debiased_estimation_loss=True),
    ),
    "Huber by SNR": ("v_prediction", dict(loss_type="huber")),
    "smooth L1, exponential": ("epsilon", dict(loss_type="smooth_l1", huber_schedule="exponential")),
}  # fmt: skip


@pytest.mark.parametrize("case", SETTINGS)
@pytest.mark.parametrize("t", [0, 999])
def test_the_ends_of_a_zero_terminal_schedule_give_finite_losses_and_gradients(case, t):
    prediction_type, loss = SETTINGS[case]
    made = objective(prediction_type, loss, zero_terminal_snr=True, noise_offset=0.1, multires_noise_iterations=6)
    noisy = disturb(made, torch.full((5,), t))
    predicted = noisy.target_BCHW.clone().requires_grad_(True)
    value = made.loss(predicted, noisy)
    value.backward()
    assert value.isfinite() and predicted.grad.isfinite().all() and noisy.latents_BCHW.isfinite().all()


def test_zero_terminal_snr_leaves_nothing_of_the_latents_at_the_last_step():
    noisy = disturb(objective("v_prediction", zero_terminal_snr=True), torch.full((5,), 999))
    assert torch.equal(noisy.latents_BCHW, noisy.noise_BCHW)
    assert torch.equal(noisy.target_BCHW, -LATENTS)


def test_weights_are_taken_from_the_schedule_before_it_is_changed():
    loss = dict(min_snr_gamma=5)
    changed, unchanged = (objective("v_prediction", loss, zero_terminal_snr=zero) for zero in (True, False))
    noisy = disturb(changed, torch.full((5,), 999))
    zeros = torch.zeros_like(LATENTS)
    assert torch.equal(changed.losses(zeros, noisy), unchanged.losses(zeros, noisy))
    assert changed.loss(zeros, noisy) > 0


def test_half_precision_predictions_are_judged_in_full_precision():
    made = objective()
    noisy = disturb(made)
    assert made.loss(torch.zeros_like(LATENTS, dtype=torch.bfloat16), noisy).dtype == torch.float32


@pytest.mark.parametrize(
    ("prediction_type", "loss", "sentence"),
    [
        (
            "epsilon", dict(scale_v_pred_loss_like_noise_pred=True),
            "scale_v_pred_loss_like_noise_pred: It is for models with v-prediction; turn it off, or turn "
            "v_parameterization on.",
        ),
        (
            "v_prediction", dict(v_pred_like_loss=0.1),
            "v_pred_like_loss: It is for models that predict noise; set it to 0, or turn v_parameterization off.",
        ),
    ],
)  # fmt: skip
def test_a_weight_for_the_other_kind_of_model_is_refused(prediction_type, loss, sentence):
    with pytest.raises(ConfigError) as caught:
        objective(prediction_type, loss)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("case", SETTINGS)
def test_a_step_reads_nothing_back_from_the_device(case):
    """A tensor on "meta" has no values, so whatever needs one raises."""
    prediction_type, loss = SETTINGS[case]
    made = objective(
        prediction_type,
        loss,
        noise_offset=0.1,
        adaptive_noise_scale=0.1,
        multires_noise_iterations=6,
        ip_noise_gamma=0.1,
    )
    noisy = made.disturb(LATENTS.to("meta"), torch.Generator().manual_seed(0))
    value = made.loss(noisy.target_BCHW, noisy, torch.ones(5, 1, 64, 64, device="meta"), torch.ones(5, device="meta"))
    assert value.shape == () and value.device.type == "meta"
