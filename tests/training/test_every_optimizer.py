"""Every optimizer in a real training: it ends, and a resumed one ends in the same weights."""

from __future__ import annotations

from typing import Any

import pytest

from sd_scripts.config.optimizer import OPTIMIZERS

pytestmark = pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU:UserWarning")
FINDS_ITS_RATE = ("Prodigy", "DAdapt")
QUICK = ("AdaFactor", "AdamWScheduleFree", "PagedLion8bit", "Prodigy")
"""One of each kind of state; the others take long and are marked so."""
CASES = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in OPTIMIZERS]


def settings(name: str) -> dict[str, Any]:
    return {"optimizer_type": name, "learning_rate": 1.0 if name.startswith(FINDS_ITS_RATE) else 1e-3}


@pytest.mark.parametrize("name", CASES)
def test_a_resumed_training_ends_in_the_same_weights_with_every_optimizer(train: Any, name: str) -> None:
    whole = train(**settings(name), save_every_n_steps=2, save_state=True, max_train_steps=4)
    assert (whole.code, whole.states[-1]) == (0, "done")
    resumed = train(**settings(name), max_train_steps=4, resume=str(whole.output / "tiny-step00000002-state"))
    assert resumed.weights() == whole.weights()
