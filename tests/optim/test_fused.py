"""Weights that are changed during the backward pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from sd_scripts.config.optimizer import OptimizerConfig
from sd_scripts.optim import fused, schedules

SIZES = [6, 1, 3, 2, 4, 8]


def weights() -> list[nn.Parameter]:
    return [nn.Parameter(torch.arange(1.0, size + 1)) for size in SIZES]


def groups(made: list[nn.Parameter]) -> list[dict[str, Any]]:
    return [{"name": "unet", "params": made[:4], "lr": 0.1}, {"name": "text_encoder", "params": made[4:], "lr": 0.2}]


def loss(made: list[nn.Parameter]) -> torch.Tensor:
    return torch.stack([(weight**2).sum() * (n + 1) for n, weight in enumerate(made)]).sum()


def create(made: list[nn.Parameter], parts: int, **more: Any) -> fused.Fused:
    return fused.create(groups(made), OptimizerConfig(optimizer_type="SGD", learning_rate=0.1), parts, **more)


@pytest.mark.parametrize("parts", [0, 1, 3, 6, 99])
def test_no_gradient_is_left_after_the_backward_pass(parts: int) -> None:
    made = weights()
    create(made, parts)
    loss(made).backward()
    assert all(weight.grad is None for weight in made)
    for number, weight in enumerate(made):
        rate = 0.1 if number < 4 else 0.2
        start = torch.arange(1.0, SIZES[number] + 1)
        torch.testing.assert_close(weight.data, start - rate * 2 * start * (number + 1))


def test_pieces_are_about_equal() -> None:
    """24 numbers in three pieces of consecutive weights: 6 + 1 + 3, 2 + 4, 8, as each begins where its share does."""
    made = create(weights(), 3)
    assert [[w.numel() for group in part.param_groups for w in group["params"]] for part in made.parts] == [
        [6, 1, 3], [2, 4], [8],
    ]  # fmt: skip
    assert [[group["lr"] for group in part.param_groups] for part in made.parts] == [[0.1], [0.1, 0.2], [0.2]]
    assert len(create(weights(), 0).parts) == len(SIZES)


def test_weights_that_the_pass_did_not_reach_hold_nothing_up() -> None:
    """What came in of their group is changed by step()."""
    made = weights()
    optimizer = create(made, 1)
    (made[0] ** 2).sum().backward()
    assert made[0].grad is not None
    optimizer.step()
    assert made[0].grad is None and float(made[0][0].detach()) == pytest.approx(0.8)
    assert torch.equal(made[1].data, torch.ones(1))
    loss(made).backward()
    assert all(weight.grad is None for weight in made)


def test_weights_that_are_no_longer_trained_are_not_waited_for() -> None:
    made = weights()
    create(made, 1)
    made[5].requires_grad_(False)
    loss(made).backward()
    assert made[0].grad is None and torch.equal(made[5].data, torch.arange(1.0, 9))


def test_each_gradient_is_clipped_by_itself() -> None:
    made = [nn.Parameter(torch.tensor([3.0, 4.0])), nn.Parameter(torch.tensor([0.1]))]
    config = OptimizerConfig(optimizer_type="SGD", learning_rate=1)
    fused.create([{"name": "unet", "params": made, "lr": 1.0}], config, 0, max_grad_norm=1.0)
    sum((weight**2).sum() for weight in made).backward()
    torch.testing.assert_close(made[0].data, torch.tensor([3.0 - 0.6, 4.0 - 0.8]), rtol=1e-4, atol=0)
    torch.testing.assert_close(made[1].data, torch.tensor([0.1 - 0.2]))


def test_gradients_are_shared_before_they_are_used() -> None:
    made = weights()
    create(made, 0, share=lambda gradient: gradient / 2)
    loss(made).backward()
    torch.testing.assert_close(made[0].data, torch.arange(1.0, 7) * 0.9)


def test_a_schedule_changes_the_rates_of_all_parts() -> None:
    made = weights()
    config = OptimizerConfig(optimizer_type="SGD", learning_rate=0.1, lr_scheduler="linear")
    optimizer = fused.create(groups(made), config, 0)
    schedule = schedules.create(optimizer, config, 4, 0)
    loss(made).backward()
    optimizer.step()
    schedule.step()
    assert [group["lr"] for part in optimizer.parts for group in part.param_groups] == pytest.approx(
        [0.075] * 4 + [0.15] * 2
    )


def test_a_state_is_that_of_the_same_parts() -> None:
    made = weights()
    optimizer = create(made, 3)
    state = optimizer.state_dict()
    other = create(weights(), 3)
    other.load_state_dict(state)
    assert other.param_groups[0] is other.parts[0].param_groups[0]
    with pytest.raises(ValueError, match="it holds 3 SGD, not 2 SGD"):
        create(weights(), 2).load_state_dict(state)


def test_adafactor_tells_the_rate_that_it_found() -> None:
    made = weights()
    config = OptimizerConfig(optimizer_type="AdaFactor", learning_rate=1)
    optimizer = fused.create(groups(made), config, 0)
    loss(made).backward()
    assert all(0 < float(group["found_lr"]) < 1 for group in optimizer.param_groups)
