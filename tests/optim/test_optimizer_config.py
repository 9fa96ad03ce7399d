"""Optimizer settings: how arguments and steps are written, and what is said about values that don't go together."""

import pytest
from pydantic import ValidationError

from sd_scripts.config.load import from_flat
from sd_scripts.config.optimizer import OptimizerConfig, read_arguments, step_rules, steps_of
from sd_scripts.config.schema import Notice

WRITTEN = {
    "one line": "weight_decay=0.01 betas=(0.9, 0.99)",
    "many lines, with blanks at their ends": "weight_decay=0.01 \n betas=(0.9, 0.99) \n\n",
    "double blanks and blanks around the sign": "weight_decay = 0.01   betas = (0.9, 0.99)",
    "commas between": "weight_decay=0.01, betas=(0.9, 0.99)",
    "without brackets": "weight_decay=0.01 betas=.9,.99",
    "a list": ["weight_decay=0.01", "betas=(0.9, 0.99)"],
    "a list that was cut at blanks": ["weight_decay=0.01", "betas=(0.9,", "0.99)"],
}


@pytest.mark.parametrize("case", WRITTEN)
def test_arguments_may_be_written_in_every_usual_way(case):
    config = OptimizerConfig(optimizer_args=WRITTEN[case])
    assert read_arguments(config.optimizer_args) == {"weight_decay": 0.01, "betas": (0.9, 0.99)}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("True", True), ("true", True), ("FALSE", False), ("none", None), ("1e-8", 1e-8), ("3", 3), ("-0.5", -0.5),
        ("'bfloat16'", "bfloat16"), ('"a b"', "a b"), ("[1, 2]", [1, 2]), ("inf", float("inf")),
        ("(1e-30, 1e-3)", (1e-30, 1e-3)),
    ],
)  # fmt: skip
def test_a_value_is_read_as_what_it_looks_like(text, value):
    assert read_arguments([f"x={text}"]) == {"x": value}


def test_no_arguments_are_no_arguments():
    assert OptimizerConfig(optimizer_args="  ").optimizer_args == ()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("nesterov", "'nesterov' is not written as name=value."),
        (
            "decouple=yes",
            "The value of decouple is yes; it must be a number, true, false, none, a list in brackets, or a "
            "text in quotes.",
        ),
        (
            "eps=",
            "The value of eps is empty; it must be a number, true, false, none, a list in brackets, or a text "
            "in quotes.",
        ),
    ],
)
def test_an_argument_that_can_not_be_read_is_said(words, sentence):
    with pytest.raises(ValidationError) as caught:
        OptimizerConfig(optimizer_args=words)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("written", "kept", "steps"),
    [(0, 0, 0), ("0", 0, 0), (100, 100, 100), ("100", 100, 100), (100.0, 100, 100), (0.1, 0.1, 20), ("0.25",
    0.25, 50), ("10%", "10%", 20), ("2.5 %", "2.5%", 5), (1, 1, 1)],
)  # fmt: skip
def test_warm_up_is_steps_a_share_or_a_percentage(written, kept, steps):
    config = OptimizerConfig(lr_warmup_steps=written)
    assert config.lr_warmup_steps == kept and type(config.lr_warmup_steps) is type(kept)
    assert steps_of(config.lr_warmup_steps, 200) == steps


@pytest.mark.parametrize("written", [-1, "many", 1.5, "120%", "-5%", True, ""])
def test_other_warm_ups_are_refused(written):
    with pytest.raises(ValidationError, match="is not a number of steps like 100|Input should be"):
        OptimizerConfig(lr_warmup_steps=written)


def test_step_rules_are_factors_until_a_step():
    assert step_rules("1:100,0.1:200,0.01") == [(100, 1.0), (200, 0.1), (None, 0.01)]


@pytest.mark.parametrize(
    ("written", "rates"), [("1e-4", (1e-4,)), ("1e-4 5e-5", (1e-4, 5e-5)), (0, (0,)), ([1e-4, 0], (1e-4, 0))]
)
def test_the_text_encoders_may_have_one_rate_or_several(written, rates):
    assert OptimizerConfig(text_encoder_lr=written).text_encoder_lr == rates


SAID = {
    "near miss": (
        dict(optimizer_type="AdmW8bit"), True, "optimizer_type: There is no optimizer called 'AdmW8bit'. Did "
        "you mean AdamW8bit?",
    ),
    "no such thing": (
        dict(optimizer_type="xyz"), True,
        "optimizer_type: There is no optimizer called 'xyz'. Choose one of the list, or write module.Class.",
    ),
    "nothing trained": (
        dict(learning_rate=0), True, "learning_rate: All learning rates are 0, so nothing would be trained; "
        "raise one of them.",
    ),
    "negative": (
        dict(text_encoder_lr=-1), True,
        "text_encoder_lr: A learning rate can't be negative; use 0 to leave the text encoder as it is.",
    ),
    "small factor": (
        dict(optimizer_type="Prodigy", learning_rate=1e-4), False,
        "learning_rate: Prodigy takes it as a factor on the rate it finds, and 0.0001 is very little; 1 is usual.",
    ),
    "two factors": (
        dict(optimizer_type="dadaptation", unet_lr=1, text_encoder_lr=0.5), True,
        "optimizer_type: dadaptation finds one rate for everything; give all parts the same learning rate, or 0.",
    ),
    "adafactor's own course": (
        dict(optimizer_type="AdaFactor", lr_scheduler="cosine"), False,
        "lr_scheduler: AdaFactor with relative_step finds its own course, so it has no effect.",
    ),
    "adafactor's own rates": (
        dict(optimizer_type="AdaFactor", unet_lr=1e-4), False,
        "learning_rate: AdaFactor with relative_step finds one rate for everything, so rates of single parts "
        "only say whether they are trained.",
    ),
    "adafactor's course for another": (
        dict(lr_scheduler="adafactor"), True,
        "lr_scheduler: The schedule adafactor shows the rate AdaFactor finds with relative_step=True; choose "
        "that optimizer or another schedule.",
    ),
    "schedule-free": (
        dict(optimizer_type="AdamWScheduleFree", lr_scheduler="cosine"), False,
        "lr_scheduler: AdamWScheduleFree needs no schedule, so it has no effect; for a warm-up write "
        "warmup_steps=100 in optimizer_args.",
    ),
    "class and schedule": (
        dict(lr_scheduler="cosine", lr_scheduler_type="OneCycleLR"), False,
        "lr_scheduler_type: OneCycleLR takes the place of lr_scheduler and of its warm-up.",
    ),
    "warm-up of constant": (
        dict(lr_warmup_steps="10%"), False,
        "lr_warmup_steps: The schedule constant is used with this warm-up, as constant_with_warmup is.",
    ),
    "plateau": (
        dict(lr_scheduler_type="ReduceLROnPlateau"), True,
        "lr_scheduler_type: ReduceLROnPlateau waits for a measured loss that training does not give it; choose "
        "another schedule.",
    ),
    "no rules": (
        dict(lr_scheduler="piecewise_constant"), True,
        'lr_scheduler_args: piecewise_constant needs step_rules="1:100,0.1:200,0.01": a factor and the step '
        'until which it holds, then the last factor.',
    ),
    "no decay": (
        dict(lr_scheduler="warmup_stable_decay"), False,
        "lr_decay_steps: It is 0, so warmup_stable_decay never falls; 10% to 20% is usual.",
    ),
    "not of this schedule": (
        dict(lr_scheduler="cosine", lr_scheduler_power=2), False,
        "lr_scheduler_power: It belongs to polynomial, so it has no effect on cosine.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID)
def test_values_that_do_not_go_together_are_said(case):
    given, stops, sentence = SAID[case]
    problems = list(OptimizerConfig(**given).relations())
    assert [str(problem) for problem in problems] == [sentence]
    assert [isinstance(problem, Notice) for problem in problems] == [not stops]


@pytest.mark.parametrize(
    "given",
    [
        {}, dict(optimizer_type="rmsprop"), dict(optimizer_type="bitsandbytes.optim.lamb.LAMB"), dict(unet_lr=0),
        dict(optimizer_type="Prodigy", learning_rate=1, text_encoder_lr=0), dict(optimizer_type="AdaFactor",
        lr_scheduler="adafactor"),
        dict(lr_scheduler="cosine_with_restarts", lr_scheduler_num_cycles=3, lr_warmup_steps=0.1),
        dict(optimizer_type="adafactor", optimizer_args="relative_step=False",
        lr_scheduler="constant_with_warmup", lr_warmup_steps=10),
    ],
)  # fmt: skip
def test_usual_settings_raise_no_word(given):
    assert list(OptimizerConfig(**given).relations()) == []


ACROSS = [
    (dict(optimizer_type="Prodigy", learning_rate=1, loraplus_unet_lr_ratio=4),
     "optimizer_type: Prodigy finds one rate for everything; leave out the LoRA+ ratios."),
    (dict(network_train_unet_only=True, stop_text_encoder_training="30%"),
     "stop_text_encoder_training: Only the U-Net is trained, so it has no effect."),
    (dict(optimizer_type="Prodigy", learning_rate=1, loraplus_lr_ratio=1), None),
    (dict(optimizer_type="Prodigy", learning_rate=1, network_args=["loraplus_lr_ratio=4"]),
     "optimizer_type: Prodigy finds one rate for everything; leave out the LoRA+ ratios."),
    (dict(optimizer_type="Prodigy", learning_rate=1, up_lr_weight="sine"),
     "optimizer_type: Prodigy finds one rate for everything; leave out the weights of blocks."),
    (dict(optimizer_type="DAdaptLion", learning_rate=1, mid_lr_weight="0.5"),
     "optimizer_type: DAdaptLion finds one rate for everything; leave out the weights of blocks."),
    (dict(optimizer_type="Prodigy", learning_rate=1, mid_lr_weight="0", up_lr_weight="zeros+1"), None),
    (dict(optimizer_type="AdaFactor", loraplus_lr_ratio=4),
     "loraplus_lr_ratio: AdaFactor with relative_step finds one rate for everything, so it has no effect."),
    (dict(optimizer_type="AdaFactor", down_lr_weight="cosine"),
     "down_lr_weight: AdaFactor with relative_step finds one rate for everything, so it only says which are trained."),
    (dict(optimizer_type="AdaFactor", optimizer_args="relative_step=False", down_lr_weight="cosine"), None),
    (dict(network_train_text_encoder_only=True, stop_text_encoder_training="30%"),
     "stop_text_encoder_training: Only the text encoder is trained, so nothing would be left to train; leave this empty."),
    (dict(unet_lr=0, stop_text_encoder_training=5),
     "stop_text_encoder_training: Only the text encoder is trained, so nothing would be left to train; leave this empty."),
    (dict(text_encoder_lr=0, stop_text_encoder_training=5),
     "stop_text_encoder_training: The text encoder is not trained, so it has no effect."),
]  # fmt: skip


@pytest.mark.parametrize(("given", "sentence"), ACROSS)
def test_what_does_not_go_with_the_network_is_said(given, sentence):
    found = from_flat({**given, "train_data_dir": "x"}).problems
    assert [str(problem) for problem in found] == ([sentence] if sentence else [])
