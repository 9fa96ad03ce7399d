"""Which noise is laid over the latents, and at which timesteps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from .schema import DDPM, AppliesTo, Ge, Group, Le, Notice, Problem, Ui


class NoiseConfig(Group):
    title: ClassVar[str] = "Noise"

    noise_offset: Annotated[float, Ge(0), Le(1), AppliesTo(families=DDPM), Ui(step=0.01)] = 0.0
    """Add one random constant per channel to the noise, so that very dark and very bright images can be learned.
    Usual values are 0.05 to 0.1; 0 turns it off."""

    noise_offset_random_strength: Annotated[bool, AppliesTo(families=DDPM)] = False
    """Draw the strength of the noise offset anew for every step, between 0 and noise_offset."""

    adaptive_noise_scale: Annotated[float, Ge(-1), Le(1), AppliesTo(families=DDPM), Ui(step=0.001)] = 0.0
    """Add this times the absolute mean of each latent channel to noise_offset, which never falls below 0 by it.
    Try about the value of noise_offset; 0 turns it off."""

    multires_noise_iterations: Annotated[int, Ge(0), Le(64), AppliesTo(families=DDPM), Ui(step=1)] = 0
    """Add this many octaves of ever coarser noise (pyramid noise), which helps with contrast and large shapes.
    Usual values are 6 to 10; 0 turns it off."""

    multires_noise_discount: Annotated[float, Ge(0), Le(1), AppliesTo(families=DDPM), Ui(step=0.01)] = 0.3
    """How much weaker each coarser octave of the multires noise is. 0.1 to 0.3 suits small data sets, 0.8 large ones;
    0 leaves only the first octave."""

    ip_noise_gamma: Annotated[
        float, Ge(0), Le(1), AppliesTo(families=DDPM), Ui(step=0.01, label="Input perturbation gamma")
    ] = 0.0
    """Disturb the noisy input, but not the target, by this much more noise, as the model's own errors will when it
    draws. 0.1 is usual; 0 turns it off."""

    ip_noise_gamma_random_strength: Annotated[
        bool, AppliesTo(families=DDPM), Ui(label="Input perturbation random strength")
    ] = False
    """Draw the strength of the input perturbation anew for every step, between 0 and ip_noise_gamma."""

    zero_terminal_snr: Annotated[bool, AppliesTo(families=DDPM), Ui(label="Zero terminal SNR")] = False
    """Change the noise schedule so that its last step is nothing but noise, which allows truly black and white
    pictures. It is meant for models with v-prediction, and sample pictures are drawn with the same schedule."""

    min_timestep: Annotated[int, Ge(0), Le(999), AppliesTo(families=DDPM), Ui(step=1)] = 0
    """The lowest timestep that is trained. 0 is an almost clean picture; higher values leave fine detail untouched."""

    max_timestep: Annotated[int, Ge(1), Le(1000), AppliesTo(families=DDPM), Ui(step=1)] = 1000
    """Timesteps below this one are trained. 1000 trains up to pure noise; lower values leave the composition
    untouched."""

    def relations(self) -> Iterator[Problem]:
        if self.min_timestep >= self.max_timestep:
            yield Problem(
                "min_timestep",
                f"It is {self.min_timestep}; it must be below max_timestep, which is {self.max_timestep}.",
            )
        if self.adaptive_noise_scale and not self.noise_offset:
            yield Notice("adaptive_noise_scale", "It scales the noise offset, which is 0, so it has no effect.")
        if self.noise_offset_random_strength and not self.noise_offset:
            yield Notice("noise_offset_random_strength", "It varies the noise offset, which is 0, so it has no effect.")
        if self.ip_noise_gamma_random_strength and not self.ip_noise_gamma:
            yield Notice("ip_noise_gamma_random_strength", "It varies ip_noise_gamma, which is 0, so it has no effect.")
        if self.multires_noise_discount != 0.3 and not self.multires_noise_iterations:
            yield Notice(
                "multires_noise_discount", "It belongs to multires_noise_iterations, which is 0, so it has no effect."
            )

    def problems_with(self, prediction_type: str) -> Iterator[Problem]:
        """What does not go with a model that predicts the noise ("epsilon") or the velocity ("v_prediction")."""
        if self.zero_terminal_snr and prediction_type == "epsilon":
            message = (
                "A model that predicts noise learns nothing at a step without signal; use it with v_parameterization."
            )
            yield Notice("zero_terminal_snr", message)
