"""A LoRA of the difference between two models."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sd_scripts.errors import UserError

from .conftest import CONVOLUTIONS, LAYERS, MakeLora, assert_same, dense, metadata, run


@pytest.fixture
def tuned(original_file: Path, make_lora: MakeLora, tmp_path: Path) -> tuple[Path, Path]:
    """The model with a LoRA of rank 4 merged into it, in float32, and that LoRA."""
    lora = make_lora("trained", rank=4, alpha=1, layers=LAYERS | CONVOLUTIONS)
    out = tmp_path / "tuned.safetensors"
    run("merge_lora", "--sd_model", original_file, "--models", lora, "--save_to", out, "--save_precision", "float")
    return out, lora


def extract(original: Path, tuned: Path, *more: object) -> list[str]:
    """What the tool says."""
    return run("extract_lora_from_models", "--model_org", original, "--model_tuned", tuned, *more)


def changed(file: Path) -> dict[str, np.ndarray]:
    return {name: delta for name, delta in dense(file).items() if np.abs(delta).max() > 1e-4}


def test_what_was_merged_is_found_again(original_file: Path, tuned: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    more = ("--dim", 4, "--conv_dim", 4, "--clamp_quantile", 1)
    said = extract(original_file, tuned[0], *more, "--save_to", out)
    assert_same(changed(out), dense(tuned[1]), tolerance=1e-3)
    assert said[-1].endswith("kept of the difference (Frobenius norm): 100.0% to 100.0%.")


def test_without_a_convolution_rank_convolutions_are_left_out(
    original_file: Path, tuned: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.safetensors"
    extract(original_file, tuned[0], "--clamp_quantile", 1, "--save_to", out)
    assert_same(
        changed(out),
        {name: delta for name, delta in dense(tuned[1]).items() if name not in CONVOLUTIONS},
        tolerance=1e-3,
    )


def test_a_folder_and_a_file_can_be_compared(
    tiny_model: Path, original_file: Path, tuned: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.safetensors"
    extract(
        tiny_model,
        tuned[0],
        "--clamp_quantile",
        1,
        "--save_to",
        out,
    )
    found = dense(out)
    for name in LAYERS:
        np.testing.assert_allclose(found[name], dense(tuned[1])[name], atol=5e-3)


def test_names_and_shapes_are_those_of_trained_networks(
    original_file: Path, tuned: tuple[Path, Path], tmp_path: Path
) -> None:
    from sd_scripts.config.model import ModelConfig
    from sd_scripts.config.precision import PrecisionConfig
    from sd_scripts.families import load_family

    out = tmp_path / "out.safetensors"
    extract(
        original_file,
        tuned[0],
        "--conv_dim",
        2,
        "--save_to",
        out,
    )
    model = ModelConfig(pretrained_model_name_or_path=str(original_file))
    targets = load_family(model, PrecisionConfig(mixed_precision="no")).adapter_targets(True)
    assert {key.partition(".")[0] for key in load_file(out)} == {target.name for target in targets}
    downs = {
        key.partition(".")[0]: value.ndim for key, value in load_file(out).items() if key.endswith("lora_down.weight")
    }
    for target in targets:
        assert downs[target.name] == (4 if target.stored_as_convolution else target.module.weight.ndim), target.name


def test_numbers_are_cut_at_the_quantile(original_file: Path, tuned: tuple[Path, Path], tmp_path: Path) -> None:
    name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_0_proj"
    out, plain = tmp_path / "out.safetensors", tmp_path / "plain.safetensors"
    for file, quantile in ((out, 0.9), (plain, 1)):
        extract(original_file, tuned[0], "--save_to", file, "--clamp_quantile", quantile)
    numbers = np.concatenate(
        [load_file(plain)[f"{name}.lora_{half}.weight"].numpy().ravel() for half in ("up", "down")]
    )
    limit = np.quantile(numbers, 0.9, method="lower")
    cut = np.concatenate([load_file(out)[f"{name}.lora_{half}.weight"].numpy().ravel() for half in ("up", "down")])
    np.testing.assert_allclose(cut, np.clip(numbers, -limit, limit), atol=1e-6)


def test_a_text_encoder_that_hardly_changed_is_left_out_and_said(
    original_file: Path, make_lora: MakeLora, tmp_path: Path
) -> None:
    unet = {name: shape for name, shape in LAYERS.items() if "unet" in name}
    tuned, out = tmp_path / "tuned.safetensors", tmp_path / "out.safetensors"
    run("merge_lora", "--sd_model", original_file, "--models", make_lora("a", layers=unet), "--save_to", tuned)
    said = extract(original_file, tuned, "--save_to", out)
    assert said[0] == "Note: lora_te is left out: no weight of the text encoder changed by more than 0.01."
    assert not any(key.startswith("lora_te") for key in load_file(out))
    extract(
        original_file,
        tuned,
        "--min_diff",
        0,
        "--save_to",
        out,
    )
    assert any(key.startswith("lora_te") for key in load_file(out))


def test_the_metadata_tells_rank_and_base(original_file: Path, tuned: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    extract(
        original_file,
        tuned[0],
        "--dim",
        2,
        "--conv_dim",
        1,
        "--save_to",
        out,
    )
    found = metadata(out)
    wanted = {
        "ss_v2": "False", "ss_base_model_version": "sd_v1", "ss_network_module": "networks.lora", "ss_network_dim": "2",
        "ss_network_alpha": "2.0", "ss_network_args": '{"conv_dim": "1", "conv_alpha": "1.0"}',
        "modelspec.architecture": "stable-diffusion-v1/lora",
    }  # fmt: skip
    assert {key: found.get(key) for key in wanted} == wanted


def test_the_same_model_twice_is_refused(original_file: Path, tmp_path: Path) -> None:
    wanted = f"model_tuned: {original_file} is no different from {original_file}; there is nothing to extract."
    with pytest.raises(UserError, match=re.escape(wanted)):
        extract(
            original_file,
            original_file,
            "--save_to",
            tmp_path / "o.safetensors",
        )


def test_models_of_different_shapes_are_refused(original_file: Path, tmp_path: Path) -> None:
    tensors = load_file(original_file)
    key = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"
    tensors[key] = torch.zeros(8, 9)
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(UserError) as error:
        run(
            "extract_lora_from_models",
            "--model_org",
            original_file,
            "--model_tuned",
            tmp_path / "other.safetensors",
            "--save_to",
            "o.safetensors",
        )
    assert str(error.value) == (
        f"model_tuned: {tmp_path / 'other.safetensors'} was not tuned from {original_file}: "
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q is 8 x 9 there, and 8 x 8 in the "
        "original."
    )


def loha_of(file: Path) -> dict[str, np.ndarray]:
    """What the file changes, put together by hand."""
    tensors = {key: value.double().numpy() for key, value in load_file(file).items()}
    names = {key.partition(".")[0] for key in tensors}
    halves = {
        name: [tensors[f"{name}.hada_w{half}_a"] @ tensors[f"{name}.hada_w{half}_b"] for half in "12"] for name in names
    }
    scales = {name: tensors[f"{name}.alpha"] / tensors[f"{name}.hada_w1_b"].shape[0] for name in names}
    return {name: scales[name] * first * second for name, (first, second) in halves.items()}


def test_a_loha_holds_more_the_higher_its_rank_and_never_less_than_a_lora(
    original_file: Path, tuned: tuple[Path, Path], tmp_path: Path
) -> None:
    more = ("--clamp_quantile", 1, "--conv_dim")
    wanted = {name: delta.reshape(len(delta), -1) for name, delta in dense(tuned[1]).items()}
    lost = {"lora": [], "loha": []}
    for algo, errors in lost.items():
        for rank in (1, 2, 3):
            out = tmp_path / f"{algo}{rank}.safetensors"
            extract(original_file, tuned[0], *more, rank, "--dim", rank, "--algo", algo, "--save_to", out)
            found = loha_of(out) if algo == "loha" else dense(out)
            errors.append([np.linalg.norm(found[name].reshape(delta.shape) - delta) for name, delta in wanted.items()])
    loha, lora = np.array(lost["loha"]), np.array(lost["lora"])
    assert (np.diff(loha.sum(1)) < 0).all() and (loha <= lora * 1.001).all()
    assert loha[1].sum() < 0.8 * lora[1].sum()


def test_an_extracted_loha_is_one_that_can_be_trained_on(
    original_file: Path, tuned: tuple[Path, Path], tmp_path: Path
) -> None:
    from sd_scripts import adapters
    from sd_scripts.config.model import ModelConfig
    from sd_scripts.config.network import NetworkConfig
    from sd_scripts.config.precision import PrecisionConfig
    from sd_scripts.families import load_family

    out = tmp_path / "out.safetensors"
    more = ("--conv_dim", 2, "--dim", 2, "--algo", "loha")
    extract(original_file, tuned[0], *more, "--save_to", out)
    model = ModelConfig(pretrained_model_name_or_path=str(original_file))
    targets = load_family(model, PrecisionConfig(mixed_precision="no")).adapter_targets(True)
    network = NetworkConfig(
        network_module="lycoris.kohya", algo="loha", dim_from_weights=True, network_weights=str(out)
    )
    made = adapters.create(network, targets, weights=load_file(out))
    assert made.load_state_dict(load_file(out)) == [] and made.modules
    assert metadata(out)["ss_network_module"] == "lycoris.kohya"
    assert metadata(out)["ss_network_args"] == '{"algo": "loha", "conv_dim": "2", "conv_alpha": "2"}'
