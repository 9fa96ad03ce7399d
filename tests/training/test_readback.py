"""Losses come back in order, in batches, and without being waited for."""

import torch

from sd_scripts.training.readback import Readback, Reported


def test_figures_arrive_in_order_and_only_when_it_is_time() -> None:
    seen: list[tuple[int, list[float]]] = []
    readback = Readback(lambda reported, values: seen.append((reported.step, values)), seconds=1e9)
    for step in (1, 2, 3):
        readback.add(Reported(step, 1, {}), [torch.tensor(step / 2)])
    assert seen == []
    readback.flush()
    assert seen == [(1, [0.5]), (2, [1.0]), (3, [1.5])]
    readback.flush()
    assert len(seen) == 3


def test_without_a_wait_between_them_they_arrive_at_once() -> None:
    seen: list[float] = []
    readback = Readback(lambda reported, values: seen.extend(values), seconds=0)
    readback.add(Reported(1, 1, {}, ("loss", "norm")), [torch.tensor(0.5), torch.tensor(2)])
    assert seen == [0.5, 2.0]
