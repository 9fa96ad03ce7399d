"""Files that are no networks, or broken ones: what each tool says of them, and that nothing is written."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sd_scripts.errors import UserError
from sd_scripts.tools.progress import Progress

from .conftest import LAYERS, MakeLora, run

FIRST = next(iter(LAYERS))
MAKE = {
    "other": lambda tensors: {"x": torch.zeros(3)},
    "nan": lambda tensors: {**tensors, f"{FIRST}.lora_up.weight": torch.full((8, 4, 1, 1), float("nan"))},
    "half": lambda tensors: {key: value for key, value in tensors.items() if key != f"{FIRST}.lora_up.weight"},
    "strange": lambda tensors: {f"{FIRST}.foo": torch.zeros(3)},
}
BROKEN = f"{FIRST}.lora_up.weight holds numbers that are not finite; use an earlier file of the training."
SENTENCES = {
    "other": "{key}: {file} is not a LoRA: its tensors are not named like those of one; choose another file.",
    "nan": "{file} is broken: " + BROKEN,
    "half": f"{{key}}: {{file}} is damaged: {FIRST} has no lora_up.weight; get it again.",
}
TOOLS = {"resize_lora": "model", "merge_lora": "models", "svd_merge_lora": "models", "convert_lora": "model"}


@pytest.fixture
def make_wrong(make_lora: MakeLora, tmp_path: Path) -> Callable[[str], Path]:
    def make(kind: str) -> Path:
        path = tmp_path / f"{kind}.safetensors"
        save_file(MAKE[kind](load_file(make_lora("sound"))), path)
        return path

    return make


@pytest.mark.parametrize("kind", SENTENCES)
@pytest.mark.parametrize(("tool", "key"), TOOLS.items())
def test_a_wrong_file_is_refused_and_nothing_is_written(
    make_wrong: Callable[[str], Path], tmp_path: Path, tool: str, key: str, kind: str
) -> None:
    file, out = make_wrong(kind), tmp_path / "out.safetensors"
    with pytest.raises(UserError, match=f"^{re.escape(SENTENCES[kind].format(key=key, file=file))}$"):
        run(tool, f"--{key}", file, "--save_to", out)
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize("tool", ["inspect_lora", "check_lora_weights"])
def test_a_module_of_no_known_kind_is_told(make_wrong: Callable[[str], Path], tool: str) -> None:
    with pytest.raises(UserError, match="has the tensors foo, which are of no kind of network"):
        run(tool, make_wrong("strange"))


OTHERS = {
    "not known; its first tensor is x": {"x": (3,)},
    "textual inversion (emb_params: 2 vectors of 768)": {"emb_params": (2, 768)},
    "a whole model (sd1)": {
        "model.diffusion_model.input_blocks.0.0.weight": (4, 4, 3, 3),
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": (9, 4),
    },
}


@pytest.mark.parametrize(("kind", "shapes"), OTHERS.items())
def test_what_is_in_a_file_that_is_no_network_is_told(
    tmp_path: Path, kind: str, shapes: dict[str, tuple[int, ...]]
) -> None:
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, tmp_path / "a.safetensors")
    assert f"Kind: {kind}" in run("inspect_lora", tmp_path / "a.safetensors")


FLUX = "lora_unet_double_blocks_0_img_attn_qkv"


@pytest.mark.parametrize("tool", ["merge_lora", "svd_merge_lora", "convert_lora"])
def test_networks_for_other_kinds_of_models_are_refused_and_told(
    make_lora: MakeLora, tmp_path: Path, tool: str
) -> None:
    file, out = make_lora("flux", layers={FLUX: (24, 8)}), tmp_path / "out.safetensors"
    sentence = f"{TOOLS[tool]}: {file} is for another kind of model than Stable Diffusion: it has {FLUX}; choose"
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}"):
        run(tool, f"--{TOOLS[tool]}", file, "--save_to", out)
    assert not out.exists()
    assert "For: another kind of model than Stable Diffusion, by its names and shapes" in run("inspect_lora", file)


@pytest.mark.parametrize(
    ("names", "sentence"),
    {
        ("diffusion_model.blocks.0.q.lora_A.weight", "diffusion_model.blocks.0.q.lora_B.weight"): (
            "is for another kind of model than Stable Diffusion: it has lora_unet_diffusion_model_blocks_0_q; choose"
        ),
        (): "holds nothing; choose another file.",
    }.items(),
)
def test_what_can_t_be_renamed_is_refused(tmp_path: Path, names: tuple[str, ...], sentence: str) -> None:
    file = tmp_path / "a.safetensors"
    save_file({name: torch.ones(4, 4) for name in names}, file)
    with pytest.raises(UserError, match=re.escape(f"model: {file} {sentence}")):
        run("convert_lora", "--model", file, "--layout", "kohya", "--save_to", tmp_path / "out.safetensors")


def test_a_network_of_peft_is_told_as_one_of_sd_scripts(tmp_path: Path) -> None:
    layer = "base_model.model.unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
    save_file({f"{layer}.lora_A.weight": torch.ones(4, 768), f"{layer}.lora_B.weight": torch.ones(8, 4)},
              tmp_path / "a.safetensors")  # fmt: skip
    said = run("inspect_lora", tmp_path / "a.safetensors")
    assert said[1:6] == [
        "Layout: diffusers or PEFT, 1 module", "Kind: Lora (1 module)", "For: sd1", "U-Net: 1 module, rank 4, alpha 4",
        "  block MID: 1 module, rank 4, alpha 4",
    ]  # fmt: skip


def test_a_dora_is_told(make_lora: MakeLora, tmp_path: Path) -> None:
    tensors = load_file(make_lora("plain", layers={FIRST: LAYERS[FIRST]}))
    save_file({**tensors, f"{FIRST}.dora_scale": torch.ones(8, 1)}, tmp_path / "a.safetensors")
    assert "Kind: Locon with DoRA (1 module)" in run("inspect_lora", tmp_path / "a.safetensors")


def test_a_loha_s_rank_is_told(tmp_path: Path) -> None:
    halves = {"w1_a": (8, 4), "w1_b": (4, 8), "w2_a": (8, 4), "w2_b": (4, 8)}
    tensors = {f"{FIRST}.hada_{name}": torch.ones(shape) for name, shape in halves.items()}
    save_file({**tensors, f"{FIRST}.alpha": torch.tensor(2.0)}, tmp_path / "a.safetensors")
    assert "U-Net: 1 module, rank 4, alpha 2" in run("inspect_lora", tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "argv",
    [
        ["resize_lora", "--model", "a"],
        ["merge_lora", "--models", "a", "b"],
        ["merge_lora", "--models", "b", "--sd_model", "a"],
        ["svd_merge_lora", "--models", "b", "a"],
        ["convert_lora", "--model", "a"],
        ["extract_lora_from_models", "--model_org", "b", "--model_tuned", "a"],
    ],
    ids=" ".join,
)
def test_what_is_read_is_never_written_over(argv: list[str]) -> None:
    with pytest.raises(UserError, match="save_to: a is one of the files to read; give the result a name of its own."):
        run(*argv, "--save_to", "a")


def test_whoever_may_read_other_new_files_may_read_a_network(make_lora: MakeLora, tmp_path: Path) -> None:
    plain, out = tmp_path / "plain", tmp_path / "out.safetensors"
    plain.touch()
    run("resize_lora", "--model", make_lora("a"), "--save_to", out)
    assert stat.S_IMODE(os.stat(out).st_mode) == stat.S_IMODE(os.stat(plain).st_mode)


def test_progress_is_told_from_time_to_time_with_what_is_left() -> None:
    said: list[str] = []
    seconds = iter(range(100))
    progress = Progress(said.append, 5, lambda: float(next(seconds)))
    for _ in range(5):
        progress.step()
    assert said == ["… 2 of 5, about 3 s left", "… 4 of 5, about 1 s left"]
