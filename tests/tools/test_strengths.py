"""Block weights of merges: which block is which, and what each number does."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from sd_scripts.errors import UserError
from sd_scripts.tools.strengths import LISTS, Strength, place_of, problems, split_lists, strengths

from .conftest import LAYERS, MakeLora, dense, run

PLACES = {
    "lora_te_text_model_encoder_layers_0_mlp_fc1": "BASE",
    "lora_unet_conv_in": "IN00",
    "lora_unet_label_emb_0_0": "IN00",
    "lora_unet_conv_out": "OTHER",
    "oft_unet_down_blocks_0_attentions_0_proj_in": "IN01",
    "lora_unet_down_blocks_0_attentions_0_proj_in": "IN01",
    "lora_unet_down_blocks_0_downsamplers_0_conv": "IN03",
    "lora_unet_down_blocks_2_attentions_1_proj_in": "IN08",
    "lora_unet_down_blocks_3_resnets_1_conv1": "IN11",
    "lora_unet_mid_block_attentions_0_proj_in": "MID",
    "lora_unet_up_blocks_0_upsamplers_0_conv": "OUT02",
    "lora_unet_up_blocks_1_attentions_2_proj_in": "OUT05",
    "lora_unet_up_blocks_3_attentions_2_proj_in": "OUT11",
    "lora_unet_input_blocks_8_1_transformer_blocks_9_ff_net_2": "IN08",
    "lora_unet_middle_block_1_proj_out": "MID",
    "lora_unet_output_blocks_5_1_proj_in": "OUT05",
    "lora_te2_text_model_encoder_layers_31_mlp_fc2": "BASE",
}


@pytest.mark.parametrize(("module", "place"), PLACES.items())
def test_a_modules_place_is_that_of_the_original_layout(module: str, place: str) -> None:
    assert place_of(module) == place


REFERENCE = {
    12: "BASE IN04 IN05 IN07 IN08 MID OUT00 OUT01 OUT02 OUT03 OUT04 OUT05",
    17: "BASE IN01 IN02 IN04 IN05 IN07 IN08 MID OUT03 OUT04 OUT05 OUT06 OUT07 OUT08 OUT09 OUT10 OUT11",
    20: "BASE IN00 IN01 IN02 IN03 IN04 IN05 IN06 IN07 IN08 MID OUT00 OUT01 OUT02 OUT03 OUT04 OUT05 OUT06 OUT07 OUT08",
    26: "BASE IN00 IN01 IN02 IN03 IN04 IN05 IN06 IN07 IN08 IN09 IN10 IN11 MID "
    "OUT00 OUT01 OUT02 OUT03 OUT04 OUT05 OUT06 OUT07 OUT08 OUT09 OUT10 OUT11",
}


def test_the_lists_are_those_of_the_reference() -> None:
    assert {count: " ".join(places) for count, places in LISTS.items()} == REFERENCE


def test_a_weight_multiplies_the_ratio_and_a_place_that_is_left_out_keeps_it() -> None:
    text = ",".join(["0.5", *["1"] * 5, "0.25", *["0"] * 10])
    (strength,) = strengths([0.8], [text], ["sd1"])
    assert strength.of("lora_te_text_model_encoder_layers_0_mlp_fc1") == pytest.approx(0.4)
    assert strength.of("lora_unet_down_blocks_2_attentions_1_proj_in") == pytest.approx(0.2)
    assert strength.of("lora_unet_up_blocks_1_attentions_2_proj_in") == 0
    assert strength.of("lora_unet_down_blocks_3_resnets_1_conv1") == pytest.approx(0.8)
    assert strengths((), (), [None, "sd1"]) == [Strength(1.0), Strength(1.0)]


@pytest.mark.parametrize(
    ("text", "lists"),
    [
        ("[1, 0.5, 0]", ["[1, 0.5, 0]"]),
        ("[1,0] [0,1]", ["[1,0]", "[0,1]"]),
        ("1,0\n0,1\n", ["1,0", "0,1"]),
        (["[1,0]", "0,1"], ["[1,0]", "0,1"]),
    ],
)
def test_lists_are_read_as_sd_scripts_writes_them_and_without_brackets(text: object, lists: list[str]) -> None:
    assert split_lists(text) == lists


def test_brackets_change_nothing() -> None:
    numbers = ",".join(["0.5"] * 12)
    assert strengths([1], [f"[{numbers}]"], ["sdxl"]) == strengths([1], [numbers], ["sdxl"])


@pytest.mark.parametrize(
    ("count", "family", "sentence"),
    [
        (12, "sd1", "lbws: A list of 12 numbers is for sdxl and the network is for sd1; give 17 or 26 numbers."),
        (17, "sdxl", "lbws: A list of 17 numbers is for sd1, sd2 and the network is for sdxl; give 12 or 20 or 26 "
                     "numbers."),
    ],
)  # fmt: skip
def test_a_list_for_other_blocks_is_refused(count: int, family: str, sentence: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        strengths([1], [",".join(["1"] * count)], [family])


@pytest.mark.parametrize(
    ("lists", "sentence"),
    [
        (["1,1"], "lbws: A list has 2 numbers; it must have one of 12, 17, 20, 26, the first for BASE."),
        (["1,a"], "lbws: '1,a' is not a list of numbers; write them with commas between, such as 1,0.5,0."),
        ([",".join(["1"] * 17)] * 2, "lbws: It has 2 lists for 1 models; give one for each, or none."),
    ],
)
def test_wrong_lists_are_told(lists: list[str], sentence: str) -> None:
    assert str(next(problems(lists, ["a.safetensors"]))) == sentence


@pytest.mark.parametrize("tool", ["merge_lora", "svd_merge_lora", "merge_lora into a model"])
def test_a_merge_weighs_each_block(tool: str, make_lora: MakeLora, original_file: Path, tmp_path: Path) -> None:
    lora, out = make_lora("a", rank=4, alpha=2), tmp_path / "out.safetensors"
    weights = {place: number / 10 for number, place in enumerate(LISTS[26])}
    argv = ["--models", lora, "--ratios", 0.5, "--lbws", ",".join(map(str, weights.values())), "--save_to", out]
    if tool.endswith("model"):
        tuned = tmp_path / "tuned.safetensors"
        run("merge_lora", "--sd_model", original_file, *argv[:-1], tuned, "--save_precision", "float")
        more = ["--clamp_quantile", 1, "--min_diff", 0, "--conv_dim", 4, "--save_to", out]
        run("extract_lora_from_models", "--model_org", original_file, "--model_tuned", tuned, "--dim", 4, *more)
    else:
        run(tool, *argv)
    whole, found = dense(lora), dense(out)
    for name in LAYERS:
        expected = 0.5 * weights[place_of(name)] * whole[name]
        np.testing.assert_allclose(found[name], expected, atol=2e-3 * max(1, np.abs(whole[name]).max()))
