"""Names of samplers -> diffusers' schedulers, all on the noise schedule that training uses."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import diffusers

SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": False}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "lms": ("LMSDiscreteScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpm_2": ("KDPM2DiscreteScheduler", {}),
    "dpm_2_a": ("KDPM2AncestralDiscreteScheduler", {}),
    "dpmsolver": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}),
    "dpmsolver++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "dpmsingle": ("DPMSolverSinglestepScheduler", {}),
}


def supports_zero_terminal_snr(name: str) -> bool:
    return _takes(name, "rescale_betas_zero_snr")


def _takes(name: str, argument: str) -> bool:
    return argument in inspect.signature(_class(name).__init__).parameters


def create(name: str, schedule: Mapping[str, Any], prediction_type: str, zero_terminal_snr: bool = False) -> Any:
    """A fresh scheduler; `schedule` is the model's own. With zero terminal SNR the first step of a picture stands at
    pure noise, as in training."""
    settings = {**schedule, **SAMPLERS[_bare(name)][1], "prediction_type": prediction_type}
    if _takes(name, "steps_offset"):
        settings["steps_offset"] = 1  # as Stable Diffusion was published
    if zero_terminal_snr and supports_zero_terminal_snr(name):
        settings |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    with (
        warnings.catch_warnings()
    ):  # dpmsolver is to leave diffusers one day; whoever trains can't do anything about it
        warnings.filterwarnings("ignore", "`algorithm_types", FutureWarning)
        return _class(name)(**settings)


def _bare(name: str) -> str:
    return name.removeprefix("k_")


def _class(name: str) -> Any:
    return getattr(diffusers, SAMPLERS[_bare(name)][0])
