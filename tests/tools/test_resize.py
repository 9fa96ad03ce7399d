"""Other ranks for a LoRA: fixed, or by singular values; and the parts of a DyLoRA."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sd_scripts.errors import UserError

from .conftest import CONVOLUTIONS, LAYERS, MakeLora, assert_same, dense, metadata, run

NAME = "lora_unet_mid_block_attentions_0_proj_in"
S = (10.0, 6.0, 3.0, 1.0, 0.5, 0.01)


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """One module of rank 6 whose product has the singular values S; alpha 3, so that its scale is 0.5."""
    generator = np.random.default_rng(0)
    u, v = (np.linalg.qr(generator.normal(size=(12, 6)))[0] for _ in range(2))
    tensors = {"lora_up.weight": u * np.sqrt(S), "lora_down.weight": (v * np.sqrt(S)).T, "alpha": np.array(3.0)}
    file = tmp_path / "known.safetensors"
    save_file(
        {f"{NAME}.{key}": torch.tensor(value).float().contiguous() for key, value in tensors.items()},
        file,
        {"ss_network_dim": "6"},
    )
    return file


def nearest(delta: np.ndarray, rank: int) -> np.ndarray:
    u, s, v = np.linalg.svd(delta, full_matrices=False)
    return np.asarray(u[:, :rank] * s[:rank] @ v[:rank])


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_a_fixed_rank_gives_the_nearest_matrix(known: Path, tmp_path: Path, rank: int) -> None:
    out = tmp_path / "out.safetensors"
    said = run("resize_lora", "--model", known, "--new_rank", rank, "--save_to", out)
    assert_same(dense(out), {NAME: nearest(dense(known)[NAME], rank)})
    kept = np.linalg.norm(S[:rank]) / np.linalg.norm(S)
    assert said[-1].endswith(f"kept of the change (Frobenius norm): {kept:.1%} to {kept:.1%}.")


def test_the_scale_stays_as_it_was(known: Path, tmp_path: Path) -> None:
    run("resize_lora", "--model", known, "--new_rank", 2, "--save_to", tmp_path / "out.safetensors")
    assert float(load_file(tmp_path / "out.safetensors")[f"{NAME}.alpha"]) == 1.0


def test_a_larger_rank_changes_nothing_in_the_effect(make_lora: MakeLora, tmp_path: Path) -> None:
    one = make_lora("a", rank=2, layers=LAYERS | CONVOLUTIONS)
    run(
        "resize_lora", "--model", one, "--new_rank", 20, "--new_conv_rank", 3, "--save_to", tmp_path / "out.safetensors"
    )
    assert_same(dense(tmp_path / "out.safetensors"), dense(one))
    found = load_file(tmp_path / "out.safetensors")
    assert {value.shape[0] for key, value in found.items() if key.endswith("lora_down.weight")} == {20, 3}


DYNAMIC = {
    # by hand from S = 10, 6, 3, 1, 0.5, 0.01: sum 20.51, squares 100, 36, 9, 1, 0.25, 0.0001 (146.2501)
    "ratio 2": ("sv_ratio", 2, 16, 2),  # above 5
    "ratio 12": ("sv_ratio", 12, 16, 4),  # above 0.83
    "ratio 2000": ("sv_ratio", 2000, 16, 6),
    "fro 0.8": ("sv_fro", 0.8, 16, 1),  # 10 / 12.09 = 0.827
    "fro 0.95": ("sv_fro", 0.95, 16, 2),  # sqrt(136 / 146.25) = 0.9643
    "fro 0.99": ("sv_fro", 0.99, 16, 3),  # sqrt(145 / 146.25) = 0.9957
    "fro 1": ("sv_fro", 1, 16, 6),
    "cumulative 0.5": ("sv_cumulative", 0.5, 16, 2),  # 10 / 20.51 = 0.488, 16 / 20.51 = 0.78
    "cumulative 0.9": ("sv_cumulative", 0.9, 16, 3),  # 19 / 20.51 = 0.926
    "cumulative 0.97": ("sv_cumulative", 0.97, 16, 4),  # 20 / 20.51 = 0.975
    "limited": ("sv_cumulative", 0.97, 3, 3),
}


@pytest.mark.parametrize(("method", "param", "limit", "rank"), DYNAMIC.values(), ids=DYNAMIC)
def test_a_dynamic_method_keeps_as_many_singular_values_as_it_says(
    known: Path, tmp_path: Path, method: str, param: float, limit: int, rank: int
) -> None:
    out = tmp_path / "out.safetensors"
    argv = ("--dynamic_method", method, "--dynamic_param", param, "--new_rank", limit)
    said = run("resize_lora", "--model", known, *argv, "--verbose", "--save_to", out)
    assert load_file(out)[f"{NAME}.lora_down.weight"].shape[0] == rank
    assert_same(dense(out), {NAME: nearest(dense(known)[NAME], rank)})
    assert said[0].startswith(f"{NAME}: rank 6 -> {rank}, kept ")


def test_the_metadata_tells_the_resizing(known: Path, tmp_path: Path) -> None:
    run("resize_lora", "--model", known, "--new_rank", 2, "--save_to", tmp_path / "fixed.safetensors")
    run(
        "resize_lora",
        "--model",
        known,
        "--dynamic_method",
        "sv_fro",
        "--dynamic_param",
        0.9,
        "--save_to",
        tmp_path / "dynamic.safetensors",
    )
    fixed, dynamic = metadata(tmp_path / "fixed.safetensors"), metadata(tmp_path / "dynamic.safetensors")
    wanted = ("2", "1.0", "resized from rank 6 to 2; None")
    assert (fixed["ss_network_dim"], fixed["ss_network_alpha"], fixed["ss_training_comment"]) == wanted
    wanted = ("Dynamic", "Dynamic", "resized from rank 6 by sv_fro 0.9, at most rank 4; None")
    assert (dynamic["ss_network_dim"], dynamic["ss_network_alpha"], dynamic["ss_training_comment"]) == wanted


def test_a_module_that_changes_nothing_gets_rank_1(tmp_path: Path) -> None:
    tensors = {
        f"{NAME}.lora_up.weight": torch.zeros(8, 4),
        f"{NAME}.lora_down.weight": torch.randn(4, 8),
        f"{NAME}.alpha": torch.tensor(4.0),
    }
    save_file(tensors, tmp_path / "zero.safetensors")
    argv = ("--dynamic_method", "sv_ratio", "--dynamic_param", 10, "--save_to", tmp_path / "out.safetensors")
    run("resize_lora", "--model", tmp_path / "zero.safetensors", *argv)
    assert load_file(tmp_path / "out.safetensors")[f"{NAME}.lora_down.weight"].shape == (1, 8)


SENTENCES = {
    "rank 0": (["--new_rank", "0"], "new_rank: '0' is out of range; it must be at least 1."),
    "no param": (["--dynamic_method", "sv_fro"], "dynamic_param: sv_fro needs it; give 0.9, for example."),
    "ratio below 2": (["--dynamic_method", "sv_ratio", "--dynamic_param", "1"], "dynamic_param: 1 is out of range; "
                                                                                "for sv_ratio it must be at least 2."),
    "share above 1": (["--dynamic_method", "sv_fro", "--dynamic_param", "2"], "dynamic_param: 2 is out of range; for "
                                                                              "sv_fro it is a share, so at most 1."),
    "no device": (["--device", "warp"], "device: There is no device warp here; use cpu."),
}  # fmt: skip


@pytest.mark.parametrize(("argv", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_what_is_wrong_is_told_in_a_sentence(known: Path, tmp_path: Path, argv: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        run("resize_lora", "--model", known, "--save_to", tmp_path / "out.safetensors", *argv)


def test_each_part_of_a_dylora_acts_as_it_did_in_training(make_lora: MakeLora, tmp_path: Path) -> None:
    one = make_lora("a", rank=8, alpha=4, layers=LAYERS | CONVOLUTIONS)
    run("extract_lora_from_dylora", "--model", one, "--unit", 2, "--save_to", tmp_path / "part.safetensors")
    tensors = {key: value.double().numpy() for key, value in load_file(one).items()}
    for rank in (2, 4, 6, 8):
        wanted = {}
        for name in LAYERS | CONVOLUTIONS:
            up, down = (
                tensors[f"{name}.lora_up.weight"].reshape(-1, 8),
                tensors[f"{name}.lora_down.weight"].reshape(8, -1),
            )
            wanted[name] = up[:, :rank] @ down[:rank] * (4 / 8) * math.sqrt(8 / rank)
        part = tmp_path / f"part-{rank:04}.safetensors"
        assert_same(dense(part), wanted)
        assert metadata(part)["ss_network_dim"] == str(rank)


def test_a_unit_that_does_not_fit_is_refused(make_lora: MakeLora, tmp_path: Path) -> None:
    one = make_lora("a", rank=8)
    with pytest.raises(
        UserError, match=re.escape(f"unit: 3 does not divide the rank 8 of {one}; give the unit of its training.")
    ):
        run("extract_lora_from_dylora", "--model", one, "--unit", 3, "--save_to", tmp_path / "part.safetensors")


def test_a_network_of_several_ranks_is_no_dylora(known: Path, make_lora: MakeLora, tmp_path: Path) -> None:
    merged = tmp_path / "merged.safetensors"
    run("merge_lora", "--models", known, make_lora("a", rank=4), "--save_to", merged)
    wanted = f"model: {merged} has modules of the ranks 4, 6, so it is no DyLoRA, whose modules have one rank."
    with pytest.raises(UserError, match=re.escape(wanted)):
        run("extract_lora_from_dylora", "--model", merged, "--unit", 2, "--save_to", tmp_path / "part.safetensors")
