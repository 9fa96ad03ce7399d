"""How the error of a prediction is measured, and what counts more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from .schema import DDPM, AppliesTo, Ge, Group, Gt, Le, Notice, Problem, Ui


class LossConfig(Group):
    title: ClassVar[str] = "Loss"

    loss_type: Annotated[Literal["l2", "l1", "huber", "smooth_l1"], Ui(label="Loss")] = "l2"
    """How far a prediction is off: squared (l2), absolute (l1), or between both (huber, smooth_l1), which forgives
    single bad images more than l2 does."""

    huber_schedule: Annotated[Literal["snr", "exponential", "constant"], AppliesTo(families=DDPM)] = "snr"
    """How the width of the Huber losses depends on the timestep: by its signal-to-noise ratio, falling
    exponentially, or not at all."""

    huber_c: Annotated[float, Gt(0), Le(1), Ui(step=0.01, label="Huber C")] = 0.1
    """The width of the Huber losses where it is smallest: errors above it count as in l1, below it as in l2."""

    huber_scale: Annotated[float, Gt(0), Le(10), Ui(step=0.1)] = 1.0
    """A factor on the width of the Huber losses, for the schedules constant and exponential. 1 leaves it as it is."""

    min_snr_gamma: Annotated[float, Ge(0), Le(20), AppliesTo(families=DDPM), Ui(step=0.5)] = 0.0
    """Let timesteps with little noise count less, so that training is steadier and quicker (Min-SNR). 5 is usual,
    lower is stronger; 0 turns it off."""

    scale_v_pred_loss_like_noise_pred: Annotated[
        bool, AppliesTo(families=DDPM), Ui(label="Scale v-prediction loss")
    ] = False
    """Let the timesteps of a model with v-prediction count as they do in a model that predicts noise."""

    v_pred_like_loss: Annotated[
        float, Ge(0), Le(1), AppliesTo(families=DDPM), Ui(step=0.01, label="V-prediction-like loss")
    ] = 0.0
    """Add this share of a loss weighted like v-prediction, so that coarse shapes count more. 0.1 is usual; 0 turns it
    off."""

    debiased_estimation_loss: Annotated[bool, AppliesTo(families=DDPM)] = False
    """Let very noisy timesteps count more, by the inverse root of their signal-to-noise ratio."""

    masked_loss: bool = False
    """Learn only where a mask is bright: the red channel of the image of the same name in conditioning_data_dir, or
    the alpha channel of images with alpha_mask."""

    prior_loss_weight: Annotated[float, Ge(0), Ui(step=0.1)] = 1.0
    """How much regularization images count against training images. 1 is as much; 0 not at all."""

    def relations(self) -> Iterator[Problem]:
        is_huber = self.loss_type in ("huber", "smooth_l1")
        for key in ("huber_schedule", "huber_c", "huber_scale"):
            if not is_huber and getattr(self, key) != type(self).model_fields[key].default:
                yield Notice(
                    key, f"It belongs to the losses huber and smooth_l1, so it has no effect on {self.loss_type}."
                )
        if is_huber and self.huber_schedule == "snr" and self.huber_scale != 1:
            yield Notice(
                "huber_scale", "The schedule snr knows no scale, so it has no effect; take constant or exponential."
            )

    def problems_with(self, prediction_type: str) -> Iterator[Problem]:
        """What does not go with a model that predicts the noise ("epsilon") or the velocity ("v_prediction")."""
        if self.scale_v_pred_loss_like_noise_pred and prediction_type != "v_prediction":
            message = "It is for models with v-prediction; turn it off, or turn v_parameterization on."
            yield Problem("scale_v_pred_loss_like_noise_pred", message)
        if self.v_pred_like_loss and prediction_type == "v_prediction":
            message = "It is for models that predict noise; set it to 0, or turn v_parameterization off."
            yield Problem("v_pred_like_loss", message)
