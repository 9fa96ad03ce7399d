"""Merging networks into one: exact, at the strengths asked for."""

from __future__ import annotations

import hashlib
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sd_scripts.errors import UserError

from .conftest import CONVOLUTIONS, LAYERS, MakeLora, assert_same, dense, lora_tensors, metadata, run, summed

RATIOS = [(1.0, 1.0), (0.5, 0.5), (0.5, 2.0), (1.0, -0.3), (0.0, 1.0)]


@pytest.mark.parametrize("ratios", RATIOS, ids=str)
def test_the_result_is_the_sum_at_the_strengths_asked_for(
    make_lora: MakeLora, tmp_path: Path, ratios: tuple[float, float]
) -> None:
    one, other = (
        make_lora("a", rank=4, alpha=2, seed=1),
        make_lora("b", rank=2, alpha=None, seed=2, layers=LAYERS | CONVOLUTIONS),
    )
    out = tmp_path / "out.safetensors"
    run("merge_lora", "--models", one, other, "--ratios", *ratios, "--save_to", out)
    assert_same(dense(out), summed((ratios[0], one), (ratios[1], other)))


def test_without_ratios_each_has_all_of_its_effect(make_lora: MakeLora, tmp_path: Path) -> None:
    one, other = make_lora("a", seed=1), make_lora("b", seed=2)
    run("merge_lora", "--models", one, other, "--save_to", tmp_path / "out.safetensors")
    assert_same(dense(tmp_path / "out.safetensors"), summed((1, one), (1, other)))


def test_one_network_at_full_strength_comes_out_bit_for_bit(make_lora: MakeLora, tmp_path: Path) -> None:
    one = make_lora("a", dtype=torch.float16)
    run("merge_lora", "--models", one, "--save_to", tmp_path / "out.safetensors")
    before, after = load_file(one), load_file(tmp_path / "out.safetensors")
    assert all(torch.equal(before[key], after[key]) for key in before) and before.keys() == after.keys()


def test_half_precision_keeps_a_weak_network_beside_a_strong_one(make_lora: MakeLora, tmp_path: Path) -> None:
    one, other = (
        make_lora("a", alpha=4, seed=1, dtype=torch.float16),
        make_lora("b", alpha=0.004, seed=2, dtype=torch.float16),
    )
    run("merge_lora", "--models", one, other, "--ratios", "0", "1", "--save_to", tmp_path / "out.safetensors")
    assert_same(dense(tmp_path / "out.safetensors"), dense(other), tolerance=2e-3)


def test_layers_that_only_one_network_has_are_kept(make_lora: MakeLora, tmp_path: Path) -> None:
    first, *others = LAYERS
    one = make_lora("a", layers={first: LAYERS[first]})
    other = make_lora("b", layers={name: LAYERS[name] for name in others})
    run("merge_lora", "--models", one, other, "--ratios", 0.5, 2, "--save_to", tmp_path / "out.safetensors")
    assert_same(dense(tmp_path / "out.safetensors"), summed((0.5, one), (2, other)))


def test_shuffled_ranks_do_the_same(make_lora: MakeLora, tmp_path: Path) -> None:
    one = make_lora("a", rank=8)
    run("merge_lora", "--models", one, "--shuffle", "--save_to", tmp_path / "out.safetensors")
    key = f"{next(iter(LAYERS))}.lora_down.weight"
    assert not torch.equal(load_file(one)[key], load_file(tmp_path / "out.safetensors")[key])
    assert_same(dense(tmp_path / "out.safetensors"), dense(one))


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("float", torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16), (None, torch.float16)],
)
def test_it_is_saved_in_the_precision_asked_for(
    make_lora: MakeLora, tmp_path: Path, precision: str | None, dtype: torch.dtype
) -> None:
    one = make_lora("a", dtype=torch.float16)
    run(
        "merge_lora",
        "--models",
        one,
        one,
        "--save_to",
        tmp_path / "out.safetensors",
        *(["--save_precision", precision] if precision else []),
    )
    assert {tensor.dtype for tensor in load_file(tmp_path / "out.safetensors").values()} == {dtype}


def test_the_metadata_tells_ranks_base_and_origin(make_lora: MakeLora, tmp_path: Path) -> None:
    one = make_lora("a", rank=4, alpha=2, metadata={"ss_v2": "True", "ss_base_model_version": "sd_v2_v"})
    other = make_lora("b", rank=2, alpha=1, layers=LAYERS | CONVOLUTIONS)
    run("merge_lora", "--models", one, other, "--save_to", tmp_path / "out.safetensors")
    found = metadata(tmp_path / "out.safetensors")
    wanted = {
        "ss_v2": "True", "ss_base_model_version": "sd_v2_v", "ss_network_module": "networks.lora",
        "ss_network_dim": "6",
        "ss_network_alpha": "3.0", "ss_network_args": '{"conv_dim": "2", "conv_alpha": "1.0"}',
        "modelspec.merged_from": "a, b", "modelspec.title": "out", "modelspec.prediction_type": "v",
    }  # fmt: skip
    assert {key: found.get(key) for key in wanted} == wanted


def test_ranks_that_differ_are_told_as_dynamic(make_lora: MakeLora, tmp_path: Path) -> None:
    first = next(iter(LAYERS))
    one, other = make_lora("a"), make_lora("b", layers={first: LAYERS[first]})
    run("merge_lora", "--models", one, other, "--save_to", tmp_path / "out.safetensors")
    found = metadata(tmp_path / "out.safetensors")
    assert (found["ss_network_dim"], found["ss_network_alpha"]) == ("Dynamic", "Dynamic")


def test_without_metadata_only_what_readers_need_stays(make_lora: MakeLora, tmp_path: Path) -> None:
    run("merge_lora", "--models", make_lora("a"), "--no_metadata", "--save_to", tmp_path / "out.safetensors")
    assert set(metadata(tmp_path / "out.safetensors")) == {
        "ss_v2", "ss_base_model_version", "ss_network_module", "ss_network_dim", "ss_network_alpha", "ss_network_args",
        "sshs_model_hash", "sshs_legacy_hash",
    }  # fmt: skip


def test_the_hash_in_the_file_is_that_of_its_tensors(make_lora: MakeLora, tmp_path: Path) -> None:
    run("merge_lora", "--models", make_lora("a"), make_lora("b", seed=3), "--save_to", tmp_path / "out.safetensors")
    content = (tmp_path / "out.safetensors").read_bytes()
    assert (
        metadata(tmp_path / "out.safetensors")["sshs_model_hash"]
        == hashlib.sha256(content[8 + struct.unpack("<Q", content[:8])[0] :]).hexdigest()
    )


@pytest.mark.parametrize("ratios", [(1.0, 1.0), (0.5, -2.0)], ids=str)
def test_by_singular_values_a_sufficient_rank_keeps_all(
    make_lora: MakeLora, tmp_path: Path, ratios: tuple[float, float]
) -> None:
    one, other = make_lora("a", rank=3, seed=1, layers=LAYERS | CONVOLUTIONS), make_lora("b", rank=2, seed=2)
    out = tmp_path / "out.safetensors"
    run("svd_merge_lora", "--models", one, other, "--ratios", *ratios, "--new_rank", 5, "--save_to", out)
    assert_same(dense(out), summed((ratios[0], one), (ratios[1], other)))


def test_by_singular_values_a_smaller_rank_gives_the_nearest_matrix(make_lora: MakeLora, tmp_path: Path) -> None:
    one, other = make_lora("a", rank=3, seed=1, layers=LAYERS | CONVOLUTIONS), make_lora("b", rank=4, seed=2)
    out = tmp_path / "out.safetensors"
    run("svd_merge_lora", "--models", one, other, "--new_rank", 2, "--new_conv_rank", 1, "--save_to", out)
    nearest = {}
    for name, delta in summed((1, one), (1, other)).items():
        u, s, v = np.linalg.svd(delta, full_matrices=False)
        k = 1 if name in CONVOLUTIONS else 2
        nearest[name] = u[:, :k] * s[:k] @ v[:k]
    assert_same(dense(out), nearest)
    assert load_file(out)[f"{next(iter(CONVOLUTIONS))}.lora_down.weight"].shape == (1, 8, 3, 3)


def test_flags_without_effect_are_told(make_lora: MakeLora, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sd_scripts.tools import TOOLS, main

    argv = [
        "--models",
        str(make_lora("a")),
        "--save_to",
        str(tmp_path / "out.safetensors"),
        "--concat",
        "--precision",
        "float",
        "--v2",
    ]
    assert main(TOOLS["merge_lora"], argv) == 0
    assert "Note: concat: Networks are always merged by stacking ranks, which is exact." in capsys.readouterr().err


def wide(layers: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {name: (shape[0] * 2, *shape[1:]) for name, shape in layers.items()}


def test_networks_for_other_layers_are_refused(make_lora: MakeLora, tmp_path: Path) -> None:
    one, other = make_lora("a"), make_lora("b", layers=wide(LAYERS))
    with pytest.raises(UserError) as error:
        run("merge_lora", "--models", one, other, "--save_to", tmp_path / "out.safetensors")
    assert str(error.value) == (
        f"models: lora_te_text_model_encoder_layers_1_mlp_fc1 is for a weight of 32 x 16 in {one} and of 64 x 16 in "
        f"{other}; "
        "merge networks for the same kind of model."
    )
    assert not (tmp_path / "out.safetensors").exists()


def test_networks_for_other_families_are_refused(make_lora: MakeLora, tmp_path: Path) -> None:
    name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
    one, other = (
        make_lora("a", layers={name: (8, 768)}),
        make_lora("b", layers={"lora_te1_text_model_encoder_layers_0_mlp_fc1": (8, 8)}),
    )
    with pytest.raises(
        UserError,
        match=re.escape(f"models: {one} is for sd1 and {other} for sdxl; merge networks for the same kind of model."),
    ):
        run("merge_lora", "--models", one, other, "--save_to", tmp_path / "out.safetensors")


SENTENCES = {
    "nothing": ([], "models: It is empty; name one LoRA file or more."),
    "no file": (["--models", "/nowhere.safetensors", "--save_to", "o.safetensors"], "models: There is no file "
                                                                                    "/nowhere.safetensors; check its "
                                                                                    "spelling."),
    "no target": (["--models", "a"], "save_to: It is empty; name the file to write, ending in .safetensors."),
    "pickle": (["--models", "a", "--save_to", "o.pt"], "save_to: o.pt does not end in .safetensors, the only format "
                                                       "that is written; add that ending."),
    "ratios": (["--models", "a", "b", "--ratios", "1", "--save_to", "o.safetensors"], "ratios: It has 1 numbers for "
                                                                                      "2 models; give one for each, "
                                                                                      "or none."),
    "no number": (["--models", "a", "--ratios", "x", "--save_to", "o.safetensors"], "ratios: 'x' is not a number."),
    "typo": (["--model", "a"], "--model: There is no such flag. Did you mean models?"),
    "stray": (["a"], "'a' belongs to no flag; give every value after the flag it is for."),
    "precision": (["--models", "a", "--save_to", "o.safetensors", "--save_precision", "fp8"], "save_precision: 'fp8' "
                                                                                              "is not one of float, "
                                                                                              "fp16, bf16."),
}  # fmt: skip


@pytest.mark.parametrize(("argv", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_what_is_wrong_is_told_in_a_sentence(argv: list[str], sentence: str) -> None:
    with pytest.raises(UserError) as error:
        run("merge_lora", *argv)
    assert sentence in str(error.value).splitlines()


def test_a_file_that_is_no_lora_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "vae.safetensors"
    save_file({"encoder.conv_in.weight": torch.zeros(1)}, file)
    with pytest.raises(
        UserError,
        match=re.escape(
            f"models: {file} is not a LoRA: its tensors are not named like those of one; choose another file."
        ),
    ):
        run("merge_lora", "--models", file, "--save_to", tmp_path / "out.safetensors")


def test_a_file_that_is_cut_off_is_refused(make_lora: MakeLora, tmp_path: Path) -> None:
    file = make_lora("a")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match="is cut off"):
        run("merge_lora", "--models", file, "--save_to", tmp_path / "out.safetensors")


def test_another_kind_of_network_needs_singular_values(tmp_path: Path) -> None:
    file = tmp_path / "loha.safetensors"
    names = {key: torch.ones(2, 2) for key in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")}
    save_file({f"lora_unet_mid_block_attentions_0_proj_in.{key}": value.clone() for key, value in names.items()}, file)
    with pytest.raises(UserError) as error:
        run("merge_lora", "--models", file, "--save_to", tmp_path / "out.safetensors")
    assert str(error.value) == (
        f"{file}: lora_unet_mid_block_attentions_0_proj_in is not a LoRA but holds hada_w1_a, hada_w1_b, hada_w2_a, "
        "hada_w2_b; "
        "merge it with svd_merge_lora first."
    )


def test_a_file_whose_ranks_do_not_fit_is_refused(tmp_path: Path) -> None:
    tensors = lora_tensors({"lora_unet_conv_in": (8, 8)}, 4, 1, 0)
    tensors["lora_unet_conv_in.lora_up.weight"] = torch.zeros(8, 3)
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(UserError) as error:
        run("merge_lora", "--models", tmp_path / "a.safetensors", "--save_to", tmp_path / "out.safetensors")
    assert (
        str(error.value)
        == f"{tmp_path / 'a.safetensors'} is damaged: lora_unet_conv_in has 4 ranks below and 3 above; get it again."
    )
