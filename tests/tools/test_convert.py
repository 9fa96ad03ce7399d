"""Layouts, contents, checks, and settings that are read back from a file."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sd_scripts.config import load
from sd_scripts.errors import UserError
from sd_scripts.tools.convert import SDXL, diffusers_path, kohya_name
from sd_scripts.tools.settings_from_file import from_metadata, settings_of

from .conftest import CONVOLUTIONS, LAYERS, MakeLora, assert_same, dense, metadata, run

ROOT = Path(__file__).resolve().parents[1]


def test_there_and_back_is_the_same_network(make_lora: MakeLora, tmp_path: Path) -> None:
    one = make_lora("a", rank=4, alpha=2, layers=LAYERS | CONVOLUTIONS)
    there, back = tmp_path / "there.safetensors", tmp_path / "back.safetensors"
    run("convert_lora", "--model", one, "--layout", "diffusers", "--save_to", there)
    run("convert_lora", "--model", there, "--layout", "kohya", "--save_to", back)
    assert_same(dense(back), dense(one))
    assert {key: value.shape for key, value in load_file(one).items()} == {
        key: value.shape for key, value in load_file(back).items()
    }


def test_the_names_are_those_that_diffusers_writes(make_lora: MakeLora, tmp_path: Path) -> None:
    run("convert_lora", "--model", make_lora("a"), "--save_to", tmp_path / "out.safetensors")
    assert {
        key.removesuffix(".lora_A.weight") for key in load_file(tmp_path / "out.safetensors") if "lora_A" in key
    } == {
        "unet.down_blocks.0.attentions.0.proj_in",
        "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
        "unet.mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj",
        "unet.up_blocks.1.attentions.2.transformer_blocks.0.attn2.to_k",
        "text_encoder.text_model.encoder.layers.1.mlp.fc1",
    }


def test_every_name_of_the_reference_goes_there_and_back() -> None:
    from sd_scripts.families.names import ldm
    from sd_scripts.families.names.tables import reverse

    with gzip.open(ROOT / "families" / "lora_shapes.json.gz", "rt", encoding="utf-8") as file:
        shapes = json.load(file)
    for kind, keys in shapes.items():
        sdxl = kind.startswith("sdxl")
        names = ldm.unet_names(SDXL) if sdxl else {}
        for name in {key.partition(".")[0] for key in keys}:
            path = diffusers_path(name, reverse(names))
            assert kohya_name(path, "sdxl" if sdxl else "sd1", names) == name, path


def test_contents_are_shown(make_lora: MakeLora) -> None:
    one = make_lora("a", rank=4, alpha=2, metadata={"ss_steps": "300", "ss_tag_frequency": '{"10_x": {"cat": 3}}'})
    said = "\n".join(run("inspect_lora", one))
    for wanted in ("Kind: Lora (5 modules)", "U-Net: 4 modules, rank 4, alpha 2", "Text encoder: 1 module, rank 4, "
                                                                                  "alpha 2",
                   "block IN01: 2 modules, rank 4", "block MID: 1 module", "block OUT05: 1 "
                                                                                      "module", "steps: 300",
                   "most frequent tags: cat (3)", "SHA-256"):  # fmt: skip
        assert wanted in said


BASES = {
    "neither": ({}, "For: a model that neither its names and shapes nor its metadata tell"),
    "sd-scripts' record": ({"ss_base_model_version": "sd_v2_v"}, "For: sd2, by its metadata"),
    "ModelSpec": ({"modelspec.architecture": "stable-diffusion-v1/lora"}, "For: sd1, by its metadata"),
}


@pytest.mark.parametrize(("noted", "sentence"), BASES.values(), ids=BASES)
def test_what_the_tensors_do_not_tell_of_the_base_the_metadata_tells(
    make_lora: MakeLora, noted: dict[str, str], sentence: str
) -> None:
    assert sentence in run("inspect_lora", make_lora("a", metadata=noted))


def test_metadata_that_contradict_the_tensors_are_told(make_lora: MakeLora) -> None:
    wide = {"lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k": (8, 768)}
    file = make_lora("a", layers=wide, metadata={"ss_base_model_version": "sdxl_base_v1-0"})
    assert "For: sd1, by its names and shapes; its metadata says sdxl" in run("inspect_lora", file)


def test_a_sound_file_passes_the_check(make_lora: MakeLora) -> None:
    assert (
        run("check_lora_weights", make_lora("a"))[-1]
        == "5 modules, 0 without effect, 0 tensors with numbers that are not finite."
    )


def test_what_changes_nothing_is_told(make_lora: MakeLora) -> None:
    one = make_lora("a")
    tensors = load_file(one)
    tensors[f"{next(iter(LAYERS))}.lora_up.weight"].zero_()
    save_file(tensors, one)
    assert run("check_lora_weights", one)[-1].startswith("5 modules, 1 without effect")


def test_numbers_that_are_not_finite_fail_the_check(make_lora: MakeLora) -> None:
    one = make_lora("a")
    tensors = load_file(one)
    key = f"{next(iter(LAYERS))}.lora_up.weight"
    tensors[key][0, 0] = float("nan")
    save_file(tensors, one)
    wanted = f"file: {one} is broken: {key} holds numbers that are not finite; use an earlier file of the training."
    with pytest.raises(UserError, match=f"^{re.escape(wanted)}$"):
        run("check_lora_weights", one)


METADATA = {
    "ss_learning_rate": "0.0002", "ss_unet_lr": "None", "ss_network_dim": "16", "ss_network_alpha": "8.0",
    "ss_v2": "False",
    "ss_base_model_version": "sd_v2_v", "ss_network_module": "networks.lora", "ss_network_args": '{"conv_dim": '
                                                                                                 '"4"}', "ss_seed": "7",
    "ss_optimizer": "torch.optim.adamw.AdamW(weight_decay=0.05,betas=(0.9, 0.99))", "ss_batch_size_per_device": "3",
    "ss_resolution": "(512, 768)", "ss_max_train_steps": "900", "ss_gradient_checkpointing": "True",
    "ss_output_name": "cat",
    "ss_sd_model_name": "base.safetensors", "ss_dataset_dirs": '{"10_cat": {"n_repeats": 10, "img_count": 4}}',
}  # fmt: skip


def test_a_file_s_training_becomes_settings_of_the_form() -> None:
    flat, notices = from_metadata(METADATA)
    wanted = {
        "learning_rate": 0.0002, "network_dim": 16, "network_alpha": 8.0, "v2": True, "v_parameterization": True,
        "seed": 7,
        "train_batch_size": 3, "resolution": "512,768", "max_train_steps": 900, "gradient_checkpointing": True,
        "output_name": "cat",
        "network_args": ["conv_dim=4"], "optimizer_args": ["weight_decay=0.05", "betas=(0.9, 0.99)"],
    }  # fmt: skip
    assert {key: flat.get(key) for key in wanted} == wanted
    assert not load.from_flat(flat).errors
    said = [str(notice) for notice in notices]
    assert "pretrained_model_name_or_path: It was trained on base.safetensors; choose where that lies here." in said
    assert "train_data_dir: The folders of images were called 10_cat." in said


def test_a_file_without_a_record_is_refused(make_lora: MakeLora) -> None:
    one = make_lora("a")
    wanted = f"file: {one} does not say how it was trained; only files with ss_ metadata do."
    with pytest.raises(UserError, match=f"^{re.escape(wanted)}$"):
        settings_of(one)


def test_alphas_of_peft_are_taken_from_beside_the_file(make_lora: MakeLora, tmp_path: Path) -> None:
    down, up = torch.randn(4, 8), torch.randn(8, 4)
    path = "base_model.model.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    save_file({f"{path}.lora_A.weight": down, f"{path}.lora_B.weight": up}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 2}), encoding="utf-8")
    out = tmp_path / "out.safetensors"
    run("convert_lora", "--model", tmp_path / "adapter_model.safetensors", "--layout", "kohya", "--save_to", out)
    found = dense(out)["lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"]
    np.testing.assert_allclose(found, (up.double() @ down.double() * 0.5).numpy(), atol=1e-6)
    assert metadata(out)["ss_network_alpha"] == "2.0"
