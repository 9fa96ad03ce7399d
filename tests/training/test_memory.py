"""What the machine can do is said before anything is loaded; what it can't do by default is allowed where it is meant."""

from __future__ import annotations

import pytest

from sd_scripts.config.precision import PrecisionConfig
from sd_scripts.training import memory


@pytest.mark.parametrize(
    ("settings", "device", "sentence"),
    [
        (
            {"mixed_precision": "fp16"},
            "cpu",
            "mixed_precision: fp16 needs a GPU, and this machine has none that PyTorch can use; choose bf16 or no.",
        ),
        (
            {"mixed_precision": "fp16", "fp8_base": True},
            "mps",
            "fp8_base: 8-bit weights are not known to mps; turn it off.",
        ),
        (
            {"torch_compile": True, "dynamo_backend": "fx2trt"},
            "cpu",
            "dynamo_backend: fx2trt can't be used here; choose inductor, or install it.",
        ),
    ],
)
def test_what_a_machine_cannot_do(settings: dict[str, object], device: str, sentence: str) -> None:
    with pytest.raises(memory.NotOnThisMachine) as caught:
        memory.check(PrecisionConfig(**settings), device)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("full", [False, True])
def test_fp16_gradients_are_unscaled_where_they_are_asked_for(full: bool) -> None:
    """Gradients of 2 at a scale of 4 become 0.5, and SGD at rate 1 steps by that."""
    import torch

    weight = torch.nn.Parameter(torch.ones(2, dtype=torch.float16))
    weight.grad = torch.full((2,), 2.0, dtype=torch.float16)
    optimizer = torch.optim.SGD([weight], lr=1)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    scaler.scale(torch.ones(()))
    memory.allow_fp16_gradients(PrecisionConfig(mixed_precision="fp16", full_fp16=full), scaler)
    if not full:
        with pytest.raises(ValueError, match="FP16"):
            scaler.unscale_(optimizer)
        return
    scaler.step(optimizer)
    assert weight.tolist() == [0.5, 0.5]
