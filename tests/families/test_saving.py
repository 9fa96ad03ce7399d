"""Whole models on disk: every layout is read back here and by diffusers, with the same weights and the same pictures."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from sd_scripts.config.load import from_flat
from sd_scripts.errors import UserError
from sd_scripts.families import load_family, saving
from sd_scripts.families.base import ModelFamily

LAYOUTS = ["safetensors", "ckpt", "diffusers", "diffusers_safetensors"]
KINDS = ["sd1", "sd2", "sdxl"]
FLAGS: dict[str, dict[str, Any]] = {"sd1": {}, "sd2": {"v2": True, "v_parameterization": True}, "sdxl": {"sdxl": True}}
DTYPES = {None: torch.float32, "float": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def load(path: Path, kind: str) -> ModelFamily:
    config = from_flat({"pretrained_model_name_or_path": str(path), **FLAGS[kind]}).unwrap()
    return load_family(config.model, config.precision)


@pytest.fixture(scope="module")
def folders(tiny_model: Path, tiny_sd2: Path, tiny_sdxl: Path) -> dict[str, Path]:
    return {"sd1": tiny_model, "sd2": tiny_sd2, "sdxl": tiny_sdxl}


@pytest.fixture(scope="module")
def changed(folders: dict[str, Path]) -> Any:
    """A model whose weights are no longer those it was loaded with, as after training."""

    @cache
    def make(kind: str) -> ModelFamily:
        family = load(folders[kind], kind)
        with torch.random.fork_rng():
            torch.manual_seed(3)
            for network in family.networks:
                for parameter in network.parameters():
                    parameter.data += 0.02 * torch.randn_like(parameter)
        return family

    return make


@pytest.fixture(scope="module")
def configs(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder of our own for each kind, for its configs."""

    @cache
    def make(kind: str) -> Path:
        folder = tmp_path_factory.mktemp("configs") / kind
        saving.save_model(load(folders[kind], kind), folder, "diffusers_safetensors", None, {})
        return folder

    return make


def place(folder: Path, layout: str) -> Path:
    return folder / ("out" if layout.startswith("diffusers") else f"out.{layout}")


def weights(family: ModelFamily) -> list[torch.Tensor]:
    return [tensor for network in family.networks for tensor in network.state_dict().values()]


def drawn(family: ModelFamily) -> torch.Tensor:
    """One prediction of the U-Net, of a caption."""
    noisy_BCHW = torch.linspace(-1, 1, 256).view(1, 4, 8, 8)
    with torch.no_grad():
        return family.predict(noisy_BCHW, torch.tensor([501]), family.condition(["a red ball"]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_saved_is_read_back_bit_for_bit(changed: Any, tmp_path: Path, kind: str, layout: str) -> None:
    family = changed(kind)
    saving.save_model(family, place(tmp_path, layout), layout, None, {})
    again = load(place(tmp_path, layout), kind)
    assert all(torch.equal(a, b) for a, b in zip(weights(family), weights(again), strict=True))
    torch.testing.assert_close(drawn(family), drawn(again), rtol=1e-5, atol=1e-6)  # how weights lie in memory matters
    assert [file.name for file in tmp_path.iterdir()] == [place(tmp_path, layout).name]


@pytest.mark.parametrize("precision", ["fp16", "bf16", "float"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_another_precision_rounds_every_weight_once(changed: Any, tmp_path: Path, layout: str, precision: str) -> None:
    family = changed("sd1")
    saving.save_model(family, place(tmp_path, layout), layout, precision, {})
    for ours, theirs in zip(weights(family), weights(load(place(tmp_path, layout), "sd1")), strict=True):
        assert torch.equal(ours.to(DTYPES[precision]).float(), theirs)


@pytest.mark.parametrize("precision", [None, "fp16"])
def test_the_size_is_known_before(changed: Any, tmp_path: Path, precision: str | None) -> None:
    """But for the header, and for what the layout holds twice."""
    family = changed("sd1")
    saving.save_model(family, tmp_path / "out.safetensors", "safetensors", precision, {})
    saved = (tmp_path / "out.safetensors").stat().st_size
    assert 0 < saved - saving.size_of(family, precision) < 150_000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["diffusers", "diffusers_safetensors"])
def test_diffusers_reads_our_folders(changed: Any, tmp_path: Path, kind: str, layout: str) -> None:
    from diffusers import DiffusionPipeline

    family = changed(kind)
    saving.save_model(family, tmp_path / "out", layout, None, {})
    pipeline = DiffusionPipeline.from_pretrained(tmp_path / "out", use_safetensors=layout != "diffusers")
    assert type(pipeline) is type(family.pipeline(pipeline.scheduler))
    assert torch.allclose(picture(pipeline), picture(family.pipeline(pipeline.scheduler)), atol=1e-5)
    assert pipeline.scheduler.config.prediction_type == family.prediction_type


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["safetensors", "ckpt"])
def test_diffusers_reads_our_files(changed: Any, configs: Any, tmp_path: Path, kind: str, layout: str) -> None:
    """Told the configs of these odd sizes, which it looks up on the hub for those that everyone has."""
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    family = changed(kind)
    saving.save_model(family, place(tmp_path, layout), layout, None, {})
    pipelines = StableDiffusionXLPipeline if kind == "sdxl" else StableDiffusionPipeline
    pipeline = pipelines.from_single_file(place(tmp_path, layout), config=str(configs(kind)), local_files_only=True)
    assert torch.allclose(picture(pipeline), picture(family.pipeline(pipeline.scheduler)), atol=1e-5)


def picture(pipeline: Any) -> torch.Tensor:
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(
        "a red ball", num_inference_steps=2, height=32, width=32, generator=torch.Generator().manual_seed(1),
        output_type="pt",
    )  # fmt: skip
    return made.images


def test_a_folder_has_the_noise_schedule_that_was_trained_with(changed: Any, tmp_path: Path) -> None:
    saving.save_model(changed("sd2"), tmp_path / "out", "diffusers", None, {}, {"rescale_betas_zero_snr": True})
    config = json.loads((tmp_path / "out" / "scheduler" / "scheduler_config.json").read_text())
    assert (config["prediction_type"], config["rescale_betas_zero_snr"]) == ("v_prediction", True)
    assert (config["beta_start"], config["beta_end"], config["steps_offset"]) == (0.00085, 0.012, 1)


def test_a_folder_has_the_names_that_all_programs_read(changed: Any, tmp_path: Path) -> None:
    saving.save_model(changed("sd1"), tmp_path / "out", "diffusers_safetensors", "fp16", {})
    files = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert {
        "model_index.json", "scheduler/scheduler_config.json", "text_encoder/config.json", "unet/config.json",
        "text_encoder/model.safetensors", "unet/diffusion_pytorch_model.safetensors", "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors", "tokenizer/tokenizer_config.json",
    } <= files  # fmt: skip
    with safe_open(tmp_path / "out" / "text_encoder" / "model.safetensors", "pt") as file:
        assert all(name.startswith("text_model.") for name in file.keys())  # noqa: SIM118
    everything = "".join(file.read_text() for file in (tmp_path / "out").rglob("*.json"))
    assert str(tmp_path.parent) not in everything


def test_a_file_has_the_metadata_it_is_given(changed: Any, tmp_path: Path) -> None:
    saving.save_model(changed("sd1"), tmp_path / "out.safetensors", "safetensors", None, {"modelspec.title": "Ball"})
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        metadata = file.metadata()
    assert metadata["modelspec.title"] == "Ball"
    assert set(json.loads(metadata["sd_scripts_configs"])) == {"unet", "vae", "text_encoder"}


def test_a_ckpt_holds_nothing_but_weights_numbers_and_texts(changed: Any, tmp_path: Path) -> None:
    metadata = {"ss_epoch": "3", "ss_steps": "120"}
    saving.save_model(changed("sd1"), tmp_path / "out.ckpt", "ckpt", "fp16", metadata)
    content = torch.load(tmp_path / "out.ckpt", weights_only=True)
    assert (content["epoch"], content["global_step"]) == (3, 120)
    assert all(tensor.dtype == torch.float16 for tensor in content["state_dict"].values())


def test_what_is_no_model_is_never_replaced(changed: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "holiday.png").write_text("mine")
    with pytest.raises(UserError) as caught:
        saving.save_model(changed("sd1"), tmp_path / "out", "diffusers", None, {})
    sentence = "holds something other than a model, which saving would replace; choose another name or folder."
    assert str(caught.value) == f"output_name: {tmp_path / 'out'} {sentence}"
    assert (tmp_path / "out" / "holiday.png").read_text() == "mine"
    (tmp_path / "out.safetensors").mkdir()
    with pytest.raises(UserError, match="is a folder, which saving would replace"):
        saving.check_place(tmp_path / "out.safetensors", "safetensors")


@pytest.mark.parametrize(
    ("settings", "schedule", "marks"),
    [
        ({}, {}, set()), ({"v_parameterization": True}, {}, {"v_pred"}),
        ({"v_parameterization": True}, {"rescale_betas_zero_snr": True}, {"v_pred", "ztsnr"}),
    ],
)  # fmt: skip
def test_a_file_of_xl_says_that_it_predicts_velocity(
    tiny_sdxl: Path, tmp_path: Path, settings: dict[str, Any], schedule: dict[str, Any], marks: set[str]
) -> None:
    """By the tensors that ComfyUI looks for; diffusers passes them by."""
    from diffusers import UNet2DConditionModel

    model = {"pretrained_model_name_or_path": str(tiny_sdxl), "sdxl": True, **settings}
    config = from_flat(model).unwrap()
    saving.save_model(
        load_family(config.model, config.precision), tmp_path / "a.safetensors", "safetensors", "fp16", {}, schedule
    )
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert marks == {"v_pred", "ztsnr"} & set(file.keys())
    again = from_flat({**model, "pretrained_model_name_or_path": str(tmp_path / "a.safetensors")}).unwrap()
    assert load_family(again.model, again.precision).notices == []
    UNet2DConditionModel.from_single_file(str(tmp_path / "a.safetensors"), config=str(tiny_sdxl), subfolder="unet")


def test_an_older_model_is_replaced_whole(changed: Any, tmp_path: Path) -> None:
    saving.save_model(changed("sd1"), tmp_path / "out", "diffusers", "fp16", {})
    saving.save_model(changed("sd1"), tmp_path / "out", "diffusers_safetensors", "fp16", {})
    assert not list((tmp_path / "out").rglob("*.bin"))
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("layout", ["safetensors", "diffusers", "diffusers_safetensors", "ckpt"])
def test_a_failing_disk_leaves_the_older_model_and_nothing_else(
    changed: Any, tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = changed("sd1")
    saving.save_model(family, place(tmp_path, layout), layout, None, {})
    monkeypatch.setattr(torch, "save", fail)
    monkeypatch.setattr("sd_scripts.families.tensor_file._append", fail)
    with pytest.raises(UserError, match="could not be saved because the disk is full"):
        saving.save_model(changed("sd1"), place(tmp_path, layout), layout, "fp16", {})
    monkeypatch.undo()
    torch.testing.assert_close(drawn(load(place(tmp_path, layout), "sd1")), drawn(family), rtol=1e-5, atol=1e-6)
    assert [file.name for file in tmp_path.iterdir()] == [place(tmp_path, layout).name]


def fail(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")
