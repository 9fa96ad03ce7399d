"""The noise: what is drawn, in which order, and what each setting adds to it."""

import pytest
import torch
from torch.nn import functional

from sd_scripts.config.noise import NoiseConfig
from sd_scripts.objective.noise import add_noise, perturb, sample_noise, sample_strength

SHAPE = (3, 4, 16, 12)
LATENTS = torch.full(SHAPE, -0.5)


def drawn(**settings) -> torch.Tensor:
    return sample_noise(LATENTS, NoiseConfig(**settings), torch.Generator().manual_seed(7))


def normals(*shapes) -> list[torch.Tensor]:
    """The plain draws of the same generator, one after the other."""
    generator = torch.Generator().manual_seed(7)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def test_without_settings_it_is_gaussian_noise_and_nothing_else():
    assert torch.equal(drawn(), normals(SHAPE)[0])


def test_the_noise_offset_is_one_constant_for_each_sample_and_channel():
    base, constant = normals(SHAPE, (3, 4, 1, 1))
    assert torch.allclose(drawn(noise_offset=0.1) - base, 0.1 * constant.expand(SHAPE), atol=1e-6)


def test_a_random_strength_is_one_number_below_the_noise_offset_for_the_whole_batch():
    generator = torch.Generator().manual_seed(7)
    base = torch.randn(SHAPE, generator=generator)
    strength = 0.1 * torch.rand((), generator=generator).item()
    constant = torch.randn((3, 4, 1, 1), generator=generator)
    noise = drawn(noise_offset=0.1, noise_offset_random_strength=True)
    assert torch.allclose(noise - base, strength * constant.expand(SHAPE), atol=1e-6)
    assert 0 < strength < 0.1


@pytest.mark.parametrize(("adaptive", "strength"), [(0.2, 0.1 + 0.2 * 0.5), (-0.1, 0.1 - 0.1 * 0.5), (-1.0, 0.0)])
def test_the_adaptive_scale_follows_the_mean_of_the_latents_and_never_falls_below_zero(adaptive, strength):
    base, constant = normals(SHAPE, (3, 4, 1, 1))
    noise = drawn(noise_offset=0.1, adaptive_noise_scale=adaptive)
    assert torch.allclose(noise - base, strength * constant.expand(SHAPE), atol=1e-6)


def test_multires_noise_adds_coarser_octaves_and_keeps_a_deviation_of_one():
    generator = torch.Generator().manual_seed(7)
    expected = torch.randn(SHAPE, generator=generator)
    for octave in range(2):
        r = 2 + 2 * torch.rand((), generator=generator).item()
        size = [int(16 / r**octave), int(12 / r**octave)]
        coarse = torch.randn((3, 4, *size), generator=generator)
        expected = expected + 0.3**octave * functional.interpolate(coarse, size=(16, 12), mode="bilinear")
    noise = drawn(multires_noise_iterations=2)
    assert torch.allclose(noise, expected / expected.std(), atol=1e-5)
    assert noise.std().item() == pytest.approx(1, abs=1e-5)


def test_multires_noise_ends_at_the_first_octave_with_a_side_of_one():
    assert torch.equal(drawn(multires_noise_iterations=10), drawn(multires_noise_iterations=64))


def test_a_discount_of_zero_leaves_the_first_octave():
    noise = drawn(multires_noise_iterations=6, multires_noise_discount=0)
    generator = torch.Generator().manual_seed(7)
    base = torch.randn(SHAPE, generator=generator)
    torch.rand((), generator=generator)
    summed = base + torch.randn(SHAPE, generator=generator)
    assert torch.allclose(noise, summed / summed.std(), atol=1e-5)


def test_input_perturbation_adds_fresh_noise_of_strength_gamma():
    noise = torch.zeros(SHAPE)
    perturbed = perturb(noise, NoiseConfig(ip_noise_gamma=0.1), torch.Generator().manual_seed(7))
    assert torch.allclose(perturbed, 0.1 * normals(SHAPE)[0])
    assert perturb(noise, NoiseConfig(), torch.Generator()) is noise


def test_a_random_strength_lies_between_zero_and_the_largest():
    generator = torch.Generator().manual_seed(1)
    strengths = [sample_strength(0.2, True, generator) for _ in range(200)]
    assert 0 <= min(strengths) < 0.01 and 0.19 < max(strengths) < 0.2
    assert sample_strength(0.2, False, generator) == 0.2


@pytest.mark.parametrize(("a", "expected"), [(1.0, 2.0), (0.0, 3.0), (0.64, 0.8 * 2 + 0.6 * 3)])
def test_noise_is_added_by_the_roots_of_the_schedule(a, expected):
    latents, noise = torch.full((1, 4, 2, 2), 2.0), torch.full((1, 4, 2, 2), 3.0)
    assert torch.allclose(add_noise(latents, noise, torch.tensor([a])), torch.full((1, 4, 2, 2), expected))


def test_noisy_latents_keep_the_type_of_the_latents():
    latents = torch.zeros((1, 4, 2, 2), dtype=torch.bfloat16)
    assert add_noise(latents, torch.ones(1, 4, 2, 2), torch.tensor([0.5])).dtype == torch.bfloat16
