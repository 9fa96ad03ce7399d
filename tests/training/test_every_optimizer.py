"""Optimizers in a real training, one of each library: it ends, and a resumed one ends in the same weights.

tests/optim makes, steps and resumes every one of them.
"""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU:UserWarning")
FINDS_ITS_RATE = ("Prodigy", "DAdapt")
NAMES = ("AdaFactor", "AdamWScheduleFree", "PagedLion8bit", "Prodigy", "DAdaptAdanIP", "Lion", "SGDNesterov")


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_training_ends_in_the_same_weights(train: Any, name: str) -> None:
    settings = {"optimizer_type": name, "learning_rate": 1.0 if name.startswith(FINDS_ITS_RATE) else 1e-3}
    whole = train(**settings, save_every_n_steps=1, save_state=True, max_train_steps=3)
    assert (whole.code, whole.states[-1]) == (0, "done")
    weights = whole.weights()
    resumed = train(**settings, max_train_steps=3, resume=str(whole.output / "tiny-step00000001-state"))
    assert resumed.weights() == weights
