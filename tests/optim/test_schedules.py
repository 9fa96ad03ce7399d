"""The course of the learning rate, against factors worked out by hand, the reference schedules, and a resumed run."""

import itertools
import math

import pytest
import torch
from diffusers.optimization import get_piecewise_constant_schedule
from transformers import optimization

from sd_scripts.config.optimizer import OptimizerConfig
from sd_scripts.errors import ConfigError
from sd_scripts.optim import optimizers, schedules

RATE, TOTAL, WARMUP = 0.01, 40, 10


def fresh(rate: float = RATE, kind: type = torch.optim.SGD) -> torch.optim.Optimizer:
    return kind([torch.nn.Parameter(torch.zeros(1))], lr=rate)


def settings(name: str, **more) -> OptimizerConfig:
    return OptimizerConfig(learning_rate=RATE, lr_scheduler=name, **more)


def rates(schedule, optimizer, count: int = TOTAL + 1) -> list[float]:
    """The learning rate with which each step is taken."""
    found = []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def course(config: OptimizerConfig, count: int = TOTAL + 1, warmup: int = WARMUP) -> list[float]:
    optimizer = fresh()
    return rates(schedules.create(optimizer, config, TOTAL, warmup), optimizer, count)


BY_HAND = {
    "constant": ({}, {0: 0, 5: 0.5, 10: 1, 25: 1, 40: 1}),
    "constant_with_warmup": ({}, {0: 0, 5: 0.5, 10: 1, 40: 1}),
    "linear": ({}, {5: 0.5, 10: 1, 25: 0.5, 40: 0}),
    "cosine": ({}, {5: 0.5, 10: 1, 20: 0.75, 25: 0.5, 30: 0.25, 40: 0}),
    "cosine_with_restarts": (dict(lr_scheduler_num_cycles=3), {10: 1, 15: 0.5, 20: 1, 25: 0.5, 30: 1, 35: 0.5, 40: 0}),
    "polynomial": (dict(lr_scheduler_power=2), {10: 1, 25: 1e-5 + 0.25 * (1 - 1e-5), 40: 1e-5}),
    "inverse_sqrt": (dict(lr_scheduler_timescale=20), {5: 0.5, 10: 1, 40: math.sqrt(20 / 50)}),
    "cosine_with_min_lr": (dict(lr_scheduler_min_lr_ratio=0.2), {10: 1, 25: 0.6, 40: 0.2}),
    "cosine_warmup_with_min_lr": (dict(lr_scheduler_min_lr_ratio=0.2), {0: 0.1, 9: 1, 24: 0.6, 39: 0.2}),
    "warmup_stable_decay": (
        dict(lr_decay_steps="25%", lr_scheduler_min_lr_ratio=0.2), {0: 0.2, 5: 0.6, 10: 1, 29: 1, 35: 0.6, 40: 0.2},
    ),
    "piecewise_constant": (
        dict(lr_scheduler_args='step_rules="1:10,0.1:20,0.005"'), {0: 1, 9: 1, 10: 0.1, 19: 0.1, 20: 0.005, 40: 0.005},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_the_course_has_these_factors_at_these_steps(name):
    more, expected = BY_HAND[name]
    found = course(settings(name, **more))
    assert {step: found[step] / RATE for step in expected} == pytest.approx(expected, abs=1e-9)


def theirs(name: str, optimizer):
    """The schedule of the library that the reference engine uses, made as it makes it."""
    warm = {"num_warmup_steps": WARMUP}
    run = {**warm, "num_training_steps": TOTAL}
    return {
        "constant_with_warmup": lambda: optimization.get_constant_schedule_with_warmup(optimizer, **warm),
        "linear": lambda: optimization.get_linear_schedule_with_warmup(optimizer, **run),
        "cosine": lambda: optimization.get_cosine_schedule_with_warmup(optimizer, **run),
        "cosine_with_restarts": lambda: optimization.get_cosine_with_hard_restarts_schedule_with_warmup(
            optimizer, **run, num_cycles=3
        ),
        "polynomial": lambda: optimization.get_polynomial_decay_schedule_with_warmup(optimizer, **run, power=3),
        "inverse_sqrt": lambda: optimization.get_inverse_sqrt_schedule(optimizer, **warm),
        "cosine_with_min_lr": lambda: optimization.get_cosine_with_min_lr_schedule_with_warmup(
            optimizer, **run, num_cycles=1.5, min_lr_rate=0.3
        ),
        "cosine_warmup_with_min_lr": lambda: optimization.get_cosine_with_min_lr_schedule_with_warmup_lr_rate(
            optimizer, **run, num_cycles=1.5, min_lr_rate=0.3
        ),
        "warmup_stable_decay": lambda: optimization.get_wsd_schedule(
            optimizer, **warm, num_stable_steps=22, num_decay_steps=8, num_cycles=1.5, min_lr_ratio=0.3
        ),
        "piecewise_constant": lambda: get_piecewise_constant_schedule(optimizer, "1:10,0.1:20,0.005"),
    }[name]()


LIKE_THEIRS = {
    "constant_with_warmup": {},
    "linear": {},
    "cosine": {},
    "cosine_with_restarts": dict(lr_scheduler_num_cycles=3),
    "polynomial": dict(lr_scheduler_power=3),
    "inverse_sqrt": {},
    "cosine_with_min_lr": dict(lr_scheduler_num_cycles=3, lr_scheduler_min_lr_ratio=0.3),
    "cosine_warmup_with_min_lr": dict(lr_scheduler_num_cycles=3, lr_scheduler_min_lr_ratio=0.3),
    "warmup_stable_decay": dict(lr_scheduler_num_cycles=3, lr_scheduler_min_lr_ratio=0.3, lr_decay_steps=0.2),
    "piecewise_constant": dict(lr_scheduler_args=['step_rules="1:10,0.1:20,0.005"']),
}


@pytest.mark.parametrize("name", LIKE_THEIRS)
def test_every_rate_of_a_run_is_that_of_the_reference(name):
    optimizer = fresh()
    expected = rates(theirs(name, optimizer), optimizer)
    assert course(settings(name, **LIKE_THEIRS[name])) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", [name for name in schedules.SCHEDULES if name != "piecewise_constant"])
def test_a_run_without_warm_up_begins_at_the_full_rate(name):
    first = course(settings(name), 1, warmup=0)[0]
    assert first == pytest.approx(RATE, rel=0.01)


@pytest.mark.parametrize("name", schedules.SCHEDULES)
def test_a_resumed_schedule_goes_on_as_if_it_had_not_stopped(name):
    config = settings(name, **BY_HAND[name][0])
    expected = course(config)
    optimizer = fresh()
    schedule = schedules.create(optimizer, config, TOTAL, WARMUP)
    begun = rates(schedule, optimizer, 17)
    saved = schedule.state_dict(), optimizer.state_dict()
    other = fresh()
    resumed = schedules.create(other, config, TOTAL, WARMUP)
    resumed.load_state_dict(saved[0])
    other.load_state_dict(saved[1])
    assert begun + rates(resumed, other, TOTAL + 1 - 17) == expected


def test_each_group_keeps_its_own_rate():
    parts = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [parts[0]], "lr": 0.01}, {"params": [parts[1]], "lr": 0.002}])
    schedule = schedules.create(optimizer, settings("linear"), TOTAL, 0)
    for _ in range(20):
        optimizer.step()
        schedule.step()
    assert schedule.get_last_lr() == pytest.approx([0.005, 0.001])


def test_a_class_of_torch_takes_the_place_of_the_schedule():
    config = OptimizerConfig(
        learning_rate=RATE, lr_scheduler_type="CosineAnnealingLR", lr_scheduler_args="T_max=40 eta_min=1e-3"
    )
    found = course(config, 21)
    assert found[0] == RATE
    assert found[20] == pytest.approx(1e-3 + (RATE - 1e-3) / 2)


def test_a_class_is_found_by_its_module_too():
    path = "torch.optim.lr_scheduler.ExponentialLR"
    found = course(OptimizerConfig(learning_rate=RATE, lr_scheduler_type=path, lr_scheduler_args=["gamma=0.5"]), 3)
    assert found == pytest.approx([RATE, RATE / 2, RATE / 4])


SENTENCES = {
    "no such class": (
        "CosineAnealingLR", "",
        "lr_scheduler_type: torch.optim.lr_scheduler has no class CosineAnealingLR; did you mean CosineAnnealingLR?",
    ),
    "something is lacking": (
        "CosineAnnealingLR", "",
        "lr_scheduler_args: CosineAnnealingLR needs T_max; add T_max=... here. The run has 40 steps.",
    ),
    "something is too much": (
        "ExponentialLR", "gama=0.5",
        "lr_scheduler_args: ExponentialLR has no argument gama; it has gamma, last_epoch. Did you mean gamma?",
    ),
    "no such package": (
        "nowhere.Schedule", "", "lr_scheduler_type: nowhere.Schedule needs a package that is not installed; "
        "run: pip install nowhere",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SENTENCES)
def test_a_class_that_can_not_be_made_is_said_in_a_sentence(case):
    name, arguments, sentence = SENTENCES[case]
    with pytest.raises(ConfigError) as caught:
        course(OptimizerConfig(lr_scheduler_type=name, lr_scheduler_args=arguments))
    assert str(caught.value) == sentence


def test_adafactor_shows_the_rate_that_it_finds():
    part = torch.nn.Parameter(torch.ones(4, 4))
    config = OptimizerConfig(
        optimizer_type="AdaFactor", lr_scheduler="adafactor", optimizer_args="scale_parameter=False"
    )
    optimizer = optimizers.create([{"params": [part], "lr": 1e-4, "name": "unet"}], config)
    schedule = schedules.create(optimizer, config, TOTAL, 0)
    for _ in range(3):
        part.grad = torch.ones_like(part)
        optimizer.step()
        schedule.step()
    assert schedule.get_last_lr() == [0.01]


def test_a_schedule_free_optimizer_gets_a_constant_rate():
    config = OptimizerConfig(optimizer_type="AdamWScheduleFree", learning_rate=RATE, lr_scheduler="cosine")
    assert set(itertools.chain(course(config))) == {RATE}


# setting -> (schedule that reads it, its other value, what must be set beside it)
SHAPES = {
    "lr_decay_steps": ("warmup_stable_decay", "50%", {}),
    "lr_scheduler_num_cycles": ("cosine_with_restarts", 3, {}),
    "lr_scheduler_power": ("polynomial", 2.0, {}),
    "lr_scheduler_timescale": ("inverse_sqrt", 5, {}),
    "lr_scheduler_min_lr_ratio": ("cosine_with_min_lr", 0.5, {}),
}


@pytest.mark.parametrize("key", SHAPES)
def test_a_setting_changes_the_schedule_that_reads_it_and_no_other(key):
    name, value, beside = SHAPES[key]
    assert course(settings(name, **beside)) != course(settings(name, **beside, **{key: value}))
    assert course(settings("linear")) == course(settings("linear", **{key: value}))
