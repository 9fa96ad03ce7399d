"""Commands for sd-scripts' training scripts: every flag is known, or the sentence says why it is not."""

import pytest

from sd_scripts.config import cli, coverage, left_out, load
from sd_scripts.errors import ConfigError

OF_OTHER_SCRIPTS = {
    "train_db": ["no_token_padding", "learning_rate_te", "stop_text_encoder_training"],
    "fine_tune": ["use_safetensors", "diffusers_xformers", "train_text_encoder", "learning_rate_te"],
    "sdxl_train": ["learning_rate_te1", "learning_rate_te2", "block_lr", "fused_optimizer_groups"],
    "sdxl": ["cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk", "disable_mmap_load_safetensors"],
    "textual_inversion": [
        "weights", "num_vectors_per_token", "token_string", "init_word", "use_object_template", "use_style_template",
    ],
}  # fmt: skip
"""What train_network.py does not have."""


def test_every_flag_is_understood():
    flags = {name.key for name in coverage.read(coverage.NAMES / "train_network.txt")}
    flags |= {flag for more in OF_OTHER_SCRIPTS.values() for flag in more}
    known = {option.lstrip("-") for action in cli.parser()._actions for option in action.option_strings}
    assert sorted(flags - known) == []


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["--use_8bit_adam"], "optimizer_type", "AdamW8bit"), (["--use_lion_optimizer"], "optimizer_type", "Lion"),
        (["--use_8bit_adam", "false"], "optimizer_type", "AdamW"), (["--diffusers_xformers"], "xformers", True),
        (["--use_8bit_adam", "--optimizer_type", "AdamW8bit"], "optimizer_type", "AdamW8bit"),
    ],
)  # fmt: skip
def test_switches_stand_for_settings(words, key, value):
    assert load.to_flat(cli.parse(words), all=True)[key] == value


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--deepspeed"], "deepspeed: DeepSpeed is for models that fit on no single card, which these do; leave it out."),
        (["--zero_stage", "2"], "zero_stage: DeepSpeed is for models that fit on no single card, which these do; leave it out."),
        (["--use_8bit_adam", "--optimizer_type=Lion"], "optimizer_type: It is given twice with different values, once as use_8bit_adam; keep one of them."),
        (["--tokenizer_cache_dir", "x"], "tokenizer_cache_dir: Tokenizers come with the model or with this program, so it has no effect."),
        (["--ddp_static_graph"], "ddp_static_graph: Processes share their gradients without DDP, so it has no effect."),
    ],
)  # fmt: skip
def test_what_is_left_out_is_said(words, sentence):
    assert sentence in map(str, load.from_flat(cli.read(words)).problems)


def test_a_script_refuses_what_it_does_not_stand_for():
    with pytest.raises(ConfigError) as raised:
        cli.read(["--method", "dreambooth", "--sdxl"], {"method": "lora", "sdxl": True})
    assert [str(problem) for problem in raised.value.problems] == [
        "method: It is dreambooth, and this script stands for lora; leave it out, or use sd_scripts/train.py."
    ]


def test_what_is_off_needs_no_word():
    assert load.from_flat(dict.fromkeys(left_out.NAMES, False)).problems == []
