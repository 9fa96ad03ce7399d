"""Images of which nothing new is to be learned: for them the model shall answer as it did before the training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from ..data.table_keys import PRESERVED
from ..objective.noise import to_device

if TYPE_CHECKING:
    from ..data.dataset import Batch
    from ..families.base import Condition
    from ..objective import Noisy


def aimed(batch: Batch, noisy: Noisy, condition: Condition, family: Any, method: Any) -> Noisy:
    """`noisy`, but the target of images that a dataset file marks so is what the model answers without its network.

    sd-scripts calls it differential output preservation. Where a method trains the model itself, nothing is changed.
    """
    marks = [bool(said.get(PRESERVED)) for said in batch.attributes]
    untrained = method.left_out() if any(marks) else None
    if untrained is None:
        return noisy
    with torch.no_grad(), untrained:
        before_BCHW = family.predict(noisy.latents_BCHW, noisy.timesteps_B, condition).to(noisy.target_BCHW)
    marks_B111 = to_device(torch.tensor(marks), before_BCHW.device).view(-1, 1, 1, 1)
    return replace(noisy, target_BCHW=torch.where(marks_B111, before_BCHW, noisy.target_BCHW))
