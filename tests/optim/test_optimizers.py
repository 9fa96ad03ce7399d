"""Optimizers: every name makes one that learns, keeps its state, and says what is wrong with its arguments."""

import copy
import io

import pytest
import torch

from sd_scripts.config.optimizer import OPTIMIZERS as NAMES
from sd_scripts.config.optimizer import TORCH_OPTIMIZERS, OptimizerConfig
from sd_scripts.errors import ConfigError
from sd_scripts.optim import check, eval_mode, optimizers, train_mode

pytestmark = pytest.mark.filterwarnings(
    "ignore:Paged optimizers are not supported on CPU:UserWarning",
    "ignore::DeprecationWarning:bitsandbytes",
)

CLASSES = {
    "AdamW": "torch.optim.adamw.AdamW", "AdamW8bit": "bitsandbytes.optim.adamw.AdamW8bit",
    "PagedAdamW": "bitsandbytes.optim.adamw.PagedAdamW", "PagedAdamW8bit": "bitsandbytes.optim.adamw.PagedAdamW8bit",
    "PagedAdamW32bit": "bitsandbytes.optim.adamw.PagedAdamW32bit", "Lion8bit": "bitsandbytes.optim.lion.Lion8bit",
    "PagedLion8bit": "bitsandbytes.optim.lion.PagedLion8bit", "SGDNesterov8bit": "bitsandbytes.optim.sgd.SGD8bit",
    "SGDNesterov": "torch.optim.sgd.SGD", "AdaFactor": "transformers.optimization.Adafactor",
    "Lion": "lion_pytorch.lion_pytorch.Lion", "Prodigy": "prodigyopt.prodigy.Prodigy",
    "DAdaptation": "dadaptation.experimental.dadapt_adam_preprint.DAdaptAdamPreprint",
    "DAdaptAdamPreprint": "dadaptation.experimental.dadapt_adam_preprint.DAdaptAdamPreprint",
    "DAdaptAdam": "dadaptation.dadapt_adam.DAdaptAdam", "DAdaptAdaGrad": "dadaptation.dadapt_adagrad.DAdaptAdaGrad",
    "DAdaptAdan": "dadaptation.dadapt_adan.DAdaptAdan",
    "DAdaptAdanIP": "dadaptation.experimental.dadapt_adan_ip.DAdaptAdanIP",
    "DAdaptLion": "dadaptation.dadapt_lion.DAdaptLion", "DAdaptSGD": "dadaptation.dadapt_sgd.DAdaptSGD",
    "AdamWScheduleFree": "schedulefree.adamw_schedulefree.AdamWScheduleFree",
    "RAdamScheduleFree": "schedulefree.radam_schedulefree.RAdamScheduleFree",
    "SGDScheduleFree": "schedulefree.sgd_schedulefree.SGDScheduleFree",
}  # fmt: skip


def settings(name: str, **more) -> OptimizerConfig:
    own_rate = name.lower().startswith(("dadapt", "prodigy"))
    return OptimizerConfig(optimizer_type=name, learning_rate=1.0 if own_rate else 0.01, **more)


def weights() -> list[torch.nn.Parameter]:
    """Large enough that 8-bit optimizers really keep 8 bits."""
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn((72, 64), generator=generator)) for _ in range(2)]


def create(config: OptimizerConfig, parts: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    groups = [
        {"params": [part], "lr": config.learning_rate, "name": name}
        for part, name in zip(parts, ("unet", "te"), strict=True)
    ]
    return optimizers.create(groups, config)


def train(optimizer: torch.optim.Optimizer, parts: list[torch.nn.Parameter], steps: range) -> None:
    train_mode(optimizer)
    for step in steps:
        for part in parts:
            wobble = torch.randn(part.shape, generator=torch.Generator().manual_seed(step))
            part.grad = part.detach() + 0.1 * wobble
        optimizer.step()


def error(parts: list[torch.nn.Parameter]) -> float:
    return sum(part.detach().square().sum().item() for part in parts)


def installed(name: str) -> None:
    """Skips, in words, where the optimizer's package is not there."""
    try:
        optimizers.resolve(OptimizerConfig(optimizer_type=name))
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", NAMES)
def test_every_name_stands_for_its_class_in_any_spelling(name):
    installed(name)
    for spelling in (name, name.lower(), name.upper()):
        kind, _ = optimizers.resolve(OptimizerConfig(optimizer_type=spelling))
        assert f"{kind.__module__}.{kind.__qualname__}" == CLASSES[name]


@pytest.mark.parametrize("name", [*NAMES, *TORCH_OPTIMIZERS])
def test_every_optimizer_is_made_and_makes_the_error_smaller(name):
    installed(name)
    parts = weights()
    optimizer = create(settings(name), parts)
    errors = [error(parts)]
    for step in range(12):
        train(optimizer, parts, range(step, step + 1))
        eval_mode(optimizer)
        errors.append(error(parts))
    assert min(errors) < errors[0]
    assert [group["name"] for group in optimizer.param_groups] == ["unet", "te"]


@pytest.mark.parametrize("name", [*NAMES, *TORCH_OPTIMIZERS])
def test_a_resumed_optimizer_goes_on_bit_for_bit(name):
    installed(name)
    config, parts = settings(name), weights()
    optimizer = create(config, parts)
    train(optimizer, parts, range(4))
    file = io.BytesIO()
    torch.save((optimizer.state_dict(), [part.detach().clone() for part in parts]), file)
    train(optimizer, parts, range(4, 8))

    state, values = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    resumed_parts = [torch.nn.Parameter(value) for value in values]
    resumed = create(config, resumed_parts)
    resumed.load_state_dict(state)
    train(resumed, resumed_parts, range(4, 8))
    assert all(torch.equal(one, other) for one, other in zip(parts, resumed_parts, strict=True))


def test_a_group_keeps_its_own_rate():
    parts = weights()
    optimizer = optimizers.create(
        [{"params": [parts[0]], "lr": 0.5}, {"params": [parts[1]], "lr": 0.25}], settings("AdamW")
    )
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.25]


def test_arguments_reach_the_optimizer():
    optimizer = create(settings("adamw8bit", optimizer_args="weight_decay=0.03\nbetas=(0.8, 0.95) "), weights())
    assert optimizer.param_groups[0]["weight_decay"] == 0.03
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.95)


@pytest.mark.parametrize(("name", "momentum"), [("SGDNesterov", "momentum"), ("SGDNesterov8bit", "betas")])
def test_nesterov_has_a_momentum_of_nine_tenths_unless_told_otherwise(name, momentum):
    for arguments, expected in (("", 0.9), ("momentum=0.5", 0.5)):
        found = create(settings(name, optimizer_args=arguments), weights()).param_groups[0][momentum]
        assert (found[0] if momentum == "betas" else found) == expected


def test_adafactor_finds_its_rate_unless_told_otherwise():
    relative = create(settings("AdaFactor"), weights())
    assert [(group["lr"], group["relative_step"]) for group in relative.param_groups] == [(None, True)] * 2
    fixed = create(settings("adafactor", optimizer_args="relative_step=false scale_parameter=false"), weights())
    assert [(group["lr"], group["scale_parameter"]) for group in fixed.param_groups] == [(0.01, False)] * 2


def test_any_class_is_found_by_its_module():
    kind, _ = optimizers.resolve(OptimizerConfig(optimizer_type="torch.optim.NAdam"))
    assert kind is torch.optim.NAdam


def test_schedule_free_weights_are_averaged_in_eval_mode_and_come_back_in_train_mode():
    parts = weights()
    optimizer = create(settings("AdamWScheduleFree"), parts)
    train(optimizer, parts, range(4))
    trained = copy.deepcopy(parts[0].data)
    eval_mode(optimizer)
    assert not torch.allclose(parts[0].data, trained)
    train_mode(optimizer)
    assert torch.allclose(parts[0].data, trained, atol=1e-6)


def test_modes_mean_nothing_to_other_optimizers():
    optimizer = create(settings("AdamW"), weights())
    train_mode(optimizer)
    eval_mode(optimizer)


@pytest.mark.parametrize("name", ["Prodigy", "DAdaptAdam"])
def test_optimizers_that_find_one_rate_refuse_different_ones(name):
    parts = weights()
    groups = [{"params": [parts[0]], "lr": 1.0}, {"params": [parts[1]], "lr": 0.5}]
    with pytest.raises(ConfigError) as caught:
        optimizers.create(groups, settings(name))
    assert str(caught.value) == (
        f"optimizer_type: {name} finds one rate for everything, but the parts have 0.5 and 1; "
        "give all the same, without block weights or LoRA+ ratios."
    )


SENTENCES = {
    "package": (
        dict(optimizer_type="nowhere.Fast"),
        "optimizer_type: nowhere.Fast needs a package that is not installed; run: pip install nowhere",
    ),
    "package of another name": (
        dict(optimizer_type="pytorch_optimizer.CAME"),
        "optimizer_type: pytorch_optimizer.CAME needs a package that is not installed; run: pip install "
        "pytorch-optimizer",
    ),
    "module": (
        dict(optimizer_type="torch.optimm.Adam"),
        "optimizer_type: torch.optimm.Adam is not there: torch has no module torch.optimm; check its spelling.",
    ),
    "class": (dict(optimizer_type="torch.optim.Adan"), "optimizer_type: torch.optim has no class Adan; did you "
    "mean Adam?"),
    "class of another version": (
        dict(optimizer_type="schedulefree.Quux"),
        "optimizer_type: schedulefree has no class Quux; a newer version may have it, "
        "run: pip install --upgrade schedulefree",
    ),
    "closure": (
        dict(optimizer_type="torch.optim.LBFGS"),
        "optimizer_type: It runs each step several times over, which training can't do; choose another optimizer.",
    ),
    "argument": (
        dict(optimizer_type="Rprop", optimizer_args="eta=(0.5, 1.2)"),
        "optimizer_args: Rprop has no argument eta; it has etas, step_sizes, capturable, foreach, maximize, "
        "differentiable. "
        "Did you mean etas?",
    ),
    "our argument": (
        dict(optimizer_type="AdamW", optimizer_args="lr=1"),
        "optimizer_args: lr is not given here; it comes from the other settings.",
    ),
    "value": (
        dict(optimizer_type="AdamW", optimizer_args="betas=(2, 0.99)"),
        "optimizer_args: AdamW refuses these arguments: Invalid beta parameter at index 0: 2.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SENTENCES)
def test_what_can_not_be_made_is_said_in_a_sentence(case):
    given, sentence = SENTENCES[case]
    with pytest.raises(ConfigError) as caught:
        create(OptimizerConfig(**given), weights())
    assert str(caught.value) == sentence


def test_nothing_to_train_is_said():
    with pytest.raises(ConfigError) as caught:
        optimizers.create([], OptimizerConfig())
    assert str(caught.value) == "learning_rate: There is nothing to train; give some part a learning rate above 0."


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (dict(optimizer_type="torch.optim.Adan"), SENTENCES["class"][1]),
        (dict(optimizer_type="AdamW", optimizer_args="lr=1"), SENTENCES["our argument"][1]),
        (
            dict(lr_scheduler_type="CosineAnnealingLR"),
            "lr_scheduler_args: CosineAnnealingLR needs T_max; add T_max=... here.",
        ),
    ],
)
def test_classes_are_checked_before_a_model_is_loaded(given, sentence):
    with pytest.raises(ConfigError) as caught:
        check(OptimizerConfig(**given))
    assert str(caught.value) == sentence


def test_the_usual_choice_passes_the_check():
    check(OptimizerConfig())
