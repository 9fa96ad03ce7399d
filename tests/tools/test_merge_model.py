"""Merging networks into models: original layout and diffusers folder, any dtype, one tensor at a time."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sd_scripts.errors import UserError

from .conftest import CONVOLUTIONS, LAYERS, MakeLora, dense, lora_tensors, metadata, run, summed

ORIGINAL = {
    "lora_unet_down_blocks_0_attentions_0_proj_in": "model.diffusion_model.input_blocks.1.1.proj_in.weight",
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q":
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight",
    "lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_0_proj":
        "model.diffusion_model.middle_block.1.transformer_blocks.0.ff.net.0.proj.weight",
    "lora_unet_up_blocks_1_attentions_2_transformer_blocks_0_attn2_to_k":
        "model.diffusion_model.output_blocks.5.1.transformer_blocks.0.attn2.to_k.weight",
    "lora_te_text_model_encoder_layers_1_mlp_fc1":
        "cond_stage_model.transformer.text_model.encoder.layers.1.mlp.fc1.weight",
    "lora_unet_down_blocks_0_resnets_0_conv1": "model.diffusion_model.input_blocks.1.0.in_layers.2.weight",
}  # fmt: skip
"""Where the layers lie in a file in the original layout; written by hand."""


def check(
    before: dict[str, torch.Tensor], after: dict[str, torch.Tensor], deltas: dict[str, np.ndarray], keys: dict[str, str]
) -> None:
    """What the networks are for has changed by their deltas, everything else not at all."""
    assert before.keys() == after.keys()
    changed = {keys[name]: delta for name, delta in deltas.items()}
    for key, tensor in before.items():
        if key in changed:
            wanted = tensor.double().numpy() + changed[key].reshape(tensor.shape)
            np.testing.assert_allclose(after[key].double().numpy(), wanted, rtol=2e-3, atol=2e-3, err_msg=key)
        else:
            assert torch.equal(tensor.to(after[key].dtype), after[key]), key


@pytest.mark.parametrize(
    ("precision", "dtype"), [(None, torch.float16), ("float", torch.float32), ("fp16", torch.float16)]
)
def test_into_a_file_in_the_original_layout(
    original_file: Path, make_lora: MakeLora, tmp_path: Path, precision: str | None, dtype: torch.dtype
) -> None:
    one, other = make_lora("a", seed=1, layers=LAYERS | CONVOLUTIONS), make_lora("b", seed=2, rank=2, alpha=None)
    out = tmp_path / "merged.safetensors"
    chosen = ["--save_precision", precision] if precision else []
    run(
        "merge_lora",
        "--sd_model",
        original_file,
        "--models",
        one,
        other,
        "--ratios",
        0.5,
        -1,
        "--save_to",
        out,
        *chosen,
    )
    after = load_file(out)
    check(load_file(original_file), after, summed((0.5, one), (-1, other)), ORIGINAL)
    assert {tensor.dtype for tensor in after.values()} == {dtype}


def test_into_a_file_in_bf16(original_file: Path, make_lora: MakeLora, tmp_path: Path) -> None:
    model, one = tmp_path / "bf16.safetensors", make_lora("a")
    save_file({key: value.bfloat16() for key, value in load_file(original_file).items()}, model)
    run("merge_lora", "--sd_model", model, "--models", one, "--save_to", tmp_path / "out.safetensors")
    after = load_file(tmp_path / "out.safetensors")
    for name, delta in dense(one).items():
        before = load_file(model)[ORIGINAL[name]]
        wanted = (before.double() + torch.from_numpy(delta).reshape(before.shape)).bfloat16()
        torch.testing.assert_close(after[ORIGINAL[name]], wanted)


def test_the_merged_file_tells_its_origin_and_no_stale_hash(
    original_file: Path, make_lora: MakeLora, tmp_path: Path
) -> None:
    out = tmp_path / "merged.safetensors"
    run("merge_lora", "--sd_model", original_file, "--models", make_lora("a"), make_lora("b"), "--save_to", out)
    found = metadata(out)
    assert (found["format"], found["modelspec.merged_from"], found["modelspec.title"]) == ("pt", "a, b", "merged")
    assert "modelspec.hash_sha256" not in found


def test_the_merged_file_is_one_that_the_engine_and_the_library_load(
    original_file: Path, make_lora: MakeLora, tmp_path: Path
) -> None:
    from sd_scripts.config.model import ModelConfig
    from sd_scripts.config.precision import PrecisionConfig
    from sd_scripts.families import load_family

    one, out = make_lora("a"), tmp_path / "merged.safetensors"
    run("merge_lora", "--sd_model", original_file, "--models", one, "--save_to", out)
    family = load_family(ModelConfig(pretrained_model_name_or_path=str(out)), PrecisionConfig(mixed_precision="no"))
    plain = load_family(
        ModelConfig(pretrained_model_name_or_path=str(original_file)), PrecisionConfig(mixed_precision="no")
    )
    deltas = dense(one)
    for target, before in zip(family.adapter_targets(True), plain.adapter_targets(True), strict=True):
        difference = (target.module.weight - before.module.weight).detach().numpy()
        wanted = deltas.get(target.name, np.zeros(difference.shape)).reshape(difference.shape)
        np.testing.assert_allclose(difference, wanted, atol=2e-2, err_msg=target.name)


def test_into_a_diffusers_folder(tiny_model: Path, make_lora: MakeLora, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    one = make_lora("a", layers=LAYERS | CONVOLUTIONS)
    out = tmp_path / "merged"
    run("merge_lora", "--sd_model", tiny_model, "--models", one, "--ratios", 0.5, "--save_to", out)
    assert {str(file.relative_to(tiny_model)) for file in tiny_model.rglob("*")} == {
        str(file.relative_to(out)) for file in out.rglob("*")
    }
    before = StableDiffusionPipeline.from_pretrained(tiny_model, local_files_only=True)
    after = StableDiffusionPipeline.from_pretrained(out, local_files_only=True)
    deltas = summed((0.5, one))
    seen = 0
    for part, prefix in (("unet", "lora_unet_"), ("text_encoder", "lora_te_text_model_")):
        old = dict(getattr(before, part).named_parameters())
        for key, value in getattr(after, part).named_parameters():
            name = prefix + key.removeprefix("text_model.").removesuffix(".weight").replace(".", "_")
            wanted = deltas.get(name) if key.endswith(".weight") else None
            seen += wanted is not None
            difference = (value - old[key]).detach().numpy()
            np.testing.assert_allclose(
                difference, 0 if wanted is None else wanted.reshape(value.shape), atol=1e-5, err_msg=key
            )
    assert seen == len(deltas)


def openclip_model(path: Path) -> dict[str, torch.Tensor]:
    """Only what the tools read of a Stable Diffusion 2 file: a small U-Net's names, and two blocks of OpenCLIP."""
    text = "cond_stage_model.model.transformer.resblocks"
    tensors = {"model.diffusion_model.input_blocks.1.0.out_layers.3.weight": torch.zeros(8, 8, 3, 3)}
    tensors["model.diffusion_model.input_blocks.0.0.weight"] = torch.zeros(8, 4, 3, 3)
    tensors["model.diffusion_model.out.2.weight"] = torch.zeros(4, 8, 3, 3)
    tensors["model.diffusion_model.middle_block.1.proj_in.weight"] = torch.zeros(8, 8)
    tensors["model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight"] = torch.zeros(8, 16)
    for i in range(2):
        tensors[f"{text}.{i}.attn.in_proj_weight"] = torch.randn(24, 8)
        tensors[f"{text}.{i}.attn.in_proj_bias"] = torch.randn(24)
        tensors[f"{text}.{i}.attn.out_proj.weight"] = torch.randn(8, 8)
        tensors[f"{text}.{i}.mlp.c_fc.weight"] = torch.randn(32, 8)
        tensors[f"{text}.{i}.mlp.c_proj.weight"] = torch.randn(8, 32)
    save_file(tensors, path)
    return tensors


def test_into_the_joined_attention_of_stable_diffusion_2(make_lora: MakeLora, tmp_path: Path) -> None:
    before = openclip_model(tmp_path / "sd2.safetensors")
    layers = "lora_te_text_model_encoder_layers_1_"
    one = make_lora(
        "a", layers={f"{layers}self_attn_{x}_proj": (8, 8) for x in ("q", "v", "out")} | {f"{layers}mlp_fc2": (8, 32)}
    )
    run(
        "merge_lora",
        "--sd_model",
        tmp_path / "sd2.safetensors",
        "--models",
        one,
        "--save_to",
        tmp_path / "out.safetensors",
    )
    after, deltas = load_file(tmp_path / "out.safetensors"), dense(one)
    text = "cond_stage_model.model.transformer.resblocks.1"
    joined = np.concatenate(
        [deltas[f"{layers}self_attn_q_proj"], np.zeros((8, 8)), deltas[f"{layers}self_attn_v_proj"]]
    )
    wanted = {
        f"{text}.attn.in_proj_weight": joined,
        f"{text}.attn.out_proj.weight": deltas[f"{layers}self_attn_out_proj"],
        f"{text}.mlp.c_proj.weight": deltas[f"{layers}mlp_fc2"],
    }
    for key, tensor in before.items():
        np.testing.assert_allclose(
            (after[key] - tensor).numpy(), wanted.get(key, np.zeros(tensor.shape)), atol=1e-5, err_msg=key
        )


def test_modules_that_the_model_does_not_have_are_told(original_file: Path, tmp_path: Path) -> None:
    layers = {next(iter(LAYERS)): (8, 8, 1, 1), "lora_unet_down_blocks_9_attentions_0_proj_in": (8, 8)}
    save_file(lora_tensors(layers, 2, 1, 0), tmp_path / "a.safetensors")
    said = run(
        "merge_lora",
        "--sd_model",
        original_file,
        "--models",
        tmp_path / "a.safetensors",
        "--save_to",
        tmp_path / "o.safetensors",
    )
    assert (
        said[0] == "Note: a.safetensors has 1 modules that the model does not have, such as "
        "lora_unet_down_blocks_9_attentions_0_proj_in."
    )


def test_a_network_for_another_kind_of_model_is_refused(
    original_file: Path, make_lora: MakeLora, tmp_path: Path
) -> None:
    one = make_lora("a", layers={"lora_te1_text_model_encoder_layers_0_mlp_fc1": (8, 8)})
    wanted = f"models: {one} is for another kind of model than {original_file}; none of its modules is in it."
    with pytest.raises(UserError, match=re.escape(wanted)):
        run("merge_lora", "--sd_model", original_file, "--models", one, "--save_to", tmp_path / "out.safetensors")


def test_a_network_of_other_shapes_is_refused_and_nothing_is_written(
    original_file: Path, make_lora: MakeLora, tmp_path: Path
) -> None:
    one = make_lora("a", layers={next(iter(LAYERS)): (8, 12)})
    with pytest.raises(UserError) as error:
        run("merge_lora", "--sd_model", original_file, "--models", one, "--save_to", tmp_path / "out.safetensors")
    assert str(error.value) == (
        f"models: {one} is for another model: lora_unet_down_blocks_0_attentions_0_proj_in is for a weight of 8 x 12 "
        "there "
        "and of 8 x 8 x 1 x 1 in the model."
    )
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


SENTENCES = {
    "no model": ("nowhere.safetensors", "out.safetensors", "sd_model: There is no file or folder "
                                                           "nowhere.safetensors; check its spelling, or give a "
                                                           "Hugging Face ID like owner/name."),
    "ckpt": (None, "out.ckpt", "save_to: out.ckpt does not end in .safetensors, the only format that models are "
                               "written in; add that ending."),
}  # fmt: skip


@pytest.mark.parametrize(("model", "save_to", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_what_is_wrong_is_told(
    original_file: Path, make_lora: MakeLora, model: str | None, save_to: str, sentence: str
) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        run("merge_lora", "--sd_model", model or original_file, "--models", make_lora("a"), "--save_to", save_to)


def test_a_folder_that_holds_something_is_not_written_over(
    tiny_model: Path, make_lora: MakeLora, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "something").touch()
    with pytest.raises(UserError, match="is there already; name a folder that is not"):
        run("merge_lora", "--sd_model", tiny_model, "--models", make_lora("a"), "--save_to", tmp_path / "there")


def test_a_lora_is_no_model(make_lora: MakeLora, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a network .LoRA., not a base model"):
        run(
            "merge_lora",
            "--sd_model",
            make_lora("a"),
            "--models",
            make_lora("b"),
            "--save_to",
            tmp_path / "o.safetensors",
        )


def kinds(name: str) -> dict[str, dict[str, torch.Tensor]]:
    """Networks of other kinds than LoRA for a weight of 8 x 8."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    hada = {"hada_w1_a": (8, 2), "hada_w1_b": (2, 8), "hada_w2_a": (8, 2), "hada_w2_b": (2, 8)}
    loha = {key: random(*shape) for key, shape in hada.items()} | {"alpha": torch.tensor(1.0)}
    lokr = {"lokr_w1": random(2, 2), "lokr_w2": random(4, 4), "alpha": torch.tensor(1.0)}
    return {
        "loha": {f"{name}.{key}": value for key, value in loha.items()},
        "lokr": {f"{name}.{key}": value for key, value in lokr.items()},
    }


def other_delta(kind: str, tensors: dict[str, torch.Tensor], name: str) -> np.ndarray:
    part = {key.removeprefix(f"{name}."): value.double().numpy() for key, value in tensors.items()}
    if kind == "loha":
        product = (part["hada_w1_a"] @ part["hada_w1_b"]) * (part["hada_w2_a"] @ part["hada_w2_b"])
        return np.asarray(product * (1.0 / 2))
    return np.asarray(np.kron(part["lokr_w1"], part["lokr_w2"]))


@pytest.mark.parametrize("kind", ["loha", "lokr"])
def test_other_kinds_of_networks_are_merged_too(original_file: Path, tmp_path: Path, kind: str) -> None:
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    tensors = kinds(name)[kind]
    save_file(tensors, tmp_path / "a.safetensors")
    out, small = tmp_path / "out.safetensors", tmp_path / "small.safetensors"
    run(
        "merge_lora",
        "--sd_model",
        original_file,
        "--models",
        tmp_path / "a.safetensors",
        "--ratios",
        0.5,
        "--save_to",
        out,
    )
    delta = other_delta(kind, tensors, name)
    check(load_file(original_file), load_file(out), {name: 0.5 * delta}, ORIGINAL)
    run("svd_merge_lora", "--models", tmp_path / "a.safetensors", "--new_rank", 8, "--save_to", small)
    np.testing.assert_allclose(dense(small)[name], delta, atol=1e-5)
