"""What tests of the engine share: models too small to draw, a few pictures of one colour, and trainings of them."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from keeping import models_kept  # noqa: E402 - it lies beside this file

STARTER = Path(__file__).resolve().parents[1] / "sd_scripts" / "starter"
COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 200, 60),
    "blue": (30, 60, 220),
    "white": (240, 240, 240),
    "black": (10, 10, 10),
}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder of SD 1.x's structure: random weights, a tenth of a million of them, 4 pixels per latent."""
    import torch
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    from sd_scripts.starter import networks

    folder = tmp_path_factory.mktemp("models") / "tiny"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8, 8, 8, 8),
            norm_num_groups=4,
            cross_attention_dim=16,
            attention_head_dim=2,
        )
        vae = _vae(3, layers_per_block=1)
        text_encoder = CLIPTextModel(_text_config(16, 2, projection_dim=16, pad_token_id=networks.EOS))
    pipeline = StableDiffusionPipeline(
        vae=vae, text_encoder=text_encoder, unet=unet, scheduler=networks.new_scheduler(),
        tokenizer=networks.load_tokenizer(STARTER / "model" / "tokenizer"),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    return _saved(pipeline, folder)


def _saved(pipeline: Any, folder: Path) -> Path:
    """With tokenizers as Stable Diffusion's folders have them: two files, which are read three times as fast as the
    one that transformers writes."""
    pipeline.save_pretrained(folder)
    for made in folder.glob("tokenizer*/tokenizer.json"):
        made.unlink()
        for name in ("vocab.json", "merges.txt"):
            shutil.copy(STARTER / "model" / "tokenizer" / name, made.parent)
    return folder


def _vae(levels: int, scaling_factor: float = 0.18215, layers_per_block: int = 2) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=(4,) * levels, norm_num_groups=2, latent_channels=4, sample_size=32,
        layers_per_block=layers_per_block, scaling_factor=scaling_factor,
    )  # fmt: skip


def _text_config(width: int, layers: int, **more: Any) -> Any:
    from transformers import CLIPTextConfig

    from sd_scripts.starter import networks

    return CLIPTextConfig(
        hidden_size=width, intermediate_size=32, num_hidden_layers=layers, num_attention_heads=2,
        bos_token_id=networks.BOS, eos_token_id=networks.EOS, **more,
    )  # fmt: skip


@pytest.fixture(scope="session")
def tiny_sd2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder of SD 2.x's structure (768-v): OpenCLIP's activation, linear projections, velocity."""
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    from sd_scripts.families.configs import NOISE_SCHEDULE
    from sd_scripts.families.parts import own_tokenizer

    folder = tmp_path_factory.mktemp("models") / "tiny_sd2"
    with torch.random.fork_rng():
        torch.manual_seed(1)
        unet = UNet2DConditionModel(
            sample_size=8, block_out_channels=(8, 8, 8, 8), norm_num_groups=4, cross_attention_dim=16,
            attention_head_dim=2, use_linear_projection=True,
        )  # fmt: skip
        text_encoder = CLIPTextModel(_text_config(16, 3, projection_dim=16, pad_token_id=0, hidden_act="gelu"))
        vae = _vae(2)
    pipeline = StableDiffusionPipeline(
        vae=vae, text_encoder=text_encoder, unet=unet, tokenizer=own_tokenizer("!"),
        scheduler=DDIMScheduler(**NOISE_SCHEDULE, prediction_type="v_prediction", clip_sample=False, steps_offset=1),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    return _saved(pipeline, folder)


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder of SDXL's structure: three levels, deeper attention below, two text encoders, sizes told."""
    import torch
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    from sd_scripts.families.configs import NOISE_SCHEDULE
    from sd_scripts.families.parts import own_tokenizer

    folder = tmp_path_factory.mktemp("models") / "tiny_sdxl"
    with torch.random.fork_rng():
        torch.manual_seed(2)
        unet = UNet2DConditionModel(
            sample_size=8, block_out_channels=(8, 8, 16), norm_num_groups=4, cross_attention_dim=16 + 32,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2, 3), attention_head_dim=2, use_linear_projection=True,
            addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=6 * 8 + 20,
        )  # fmt: skip
        one = CLIPTextModel(_text_config(16, 3, projection_dim=16))
        two = CLIPTextModelWithProjection(_text_config(32, 4, projection_dim=20, pad_token_id=0, hidden_act="gelu"))
        vae = _vae(2, scaling_factor=0.13025)
    pipeline = StableDiffusionXLPipeline(
        vae=vae, unet=unet, text_encoder=one, text_encoder_2=two, tokenizer=own_tokenizer(),
        tokenizer_2=own_tokenizer("!"), scheduler=EulerDiscreteScheduler(**NOISE_SCHEDULE),
        force_zeros_for_empty_prompt=True, add_watermarker=False,
    )  # fmt: skip
    return _saved(pipeline, folder)


@pytest.fixture(scope="session")
def tiny_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures of 32 px with captions, each to be seen once an epoch: the parent of `1_colour`."""
    from PIL import Image

    parent = tmp_path_factory.mktemp("images")
    folder = parent / "1_colour"
    folder.mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (32, 32), colour).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f"{name}, plain", encoding="utf-8")
    return parent


@pytest.fixture
def tiny_settings(
    tiny_model: Path, tiny_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, object]:
    """Settings of a run of six steps over the tiny images, two epochs of three batches, that ends within a second or
    two."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return {
        "pretrained_model_name_or_path": str(tiny_model), "train_data_dir": str(tiny_images), "resolution": "32",
        "min_bucket_reso": 32, "bucket_reso_steps": 8, "max_data_loader_n_workers": 0, "train_batch_size": 2,
        "output_dir": str(tmp_path / "out"), "output_name": "tiny", "run_dir": str(tmp_path / "run"), "seed": 1,
        "max_train_steps": 6, "learning_rate": 1e-3,
    }  # fmt: skip


def flags(settings: dict[str, object]) -> list[str]:
    """Settings as words of a command line."""
    words = []
    for key, value in settings.items():
        many = value if isinstance(value, (list, tuple)) else [value]
        words += [f"--{key}", *(str(one).lower() if isinstance(one, bool) else str(one) for one in many)]
    return words


class Weights(dict[str, Any]):
    """Equal where every tensor is, bit for bit."""

    def __eq__(self, other: object) -> bool:
        import torch

        return (
            isinstance(other, dict)
            and self.keys() == other.keys()
            and all(torch.equal(self[name], other[name]) for name in self)
        )

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]


@dataclass
class Ended:
    """A training that is over."""

    code: int
    output: Path
    run: Path
    events: list[dict[str, Any]]
    at: int = field(default_factory=time.time_ns)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] == kind]

    @property
    def states(self) -> list[str]:
        return [event["state"] for event in self.of("state")]

    @property
    def sentence(self) -> str:
        return self.of("failed")[-1]["sentence"]

    @property
    def losses(self) -> list[float]:
        return [event["loss"] for event in self.of("step")]

    def weights(self, name: str = "tiny.safetensors") -> Weights:
        from safetensors.torch import load_file

        file = self.output / name
        assert file.stat().st_mtime_ns <= self.at, f"a later training wrote {name} anew; ask for the weights before it"
        return Weights(load_file(str(file)))


Train = Callable[..., Ended]


@pytest.fixture
def train(tiny_settings: dict[str, Any]) -> Iterator[Train]:
    """Trains in this process with the tiny settings and those given; a setting of None is left out."""
    from accelerate.state import AcceleratorState

    from sd_scripts.config.load import from_flat  # noqa: F401 - imported before anything is timed
    from sd_scripts.events import RunFolder
    from sd_scripts.train import main

    def run(**more: Any) -> Ended:
        AcceleratorState._reset_state(reset_partial_state=True)
        settings = {key: value for key, value in {**tiny_settings, **more}.items() if value is not None}
        before = len(RunFolder(str(settings["run_dir"])).read()[0])
        with models_kept():
            code = main(flags(settings))
        events = RunFolder(str(settings["run_dir"])).read()[0][before:]
        return Ended(code, Path(str(settings["output_dir"])), Path(str(settings["run_dir"])), events)

    yield run
    AcceleratorState._reset_state(reset_partial_state=True)
