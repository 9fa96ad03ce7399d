"""The small model that comes with the program, and the demo's pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sd_scripts.config.load import from_flat
from sd_scripts.families import load_family
from sd_scripts.methods.adapter import AdapterMethod
from sd_scripts.starter import captions, networks
from sd_scripts.training import sampling
from sd_scripts.training.progress import Progress
from sd_scripts.training.prompts import read

STARTER = Path(__file__).parents[2] / "sd_scripts" / "starter"
MODEL = STARTER / "model"


def test_it_is_small_enough_to_travel_with_the_code() -> None:
    assert sum(file.stat().st_size for file in STARTER.rglob("*") if file.suffix != ".pyc") < 40e6


def test_its_tokenizer_is_clips() -> None:
    ids = networks.load_tokenizer(MODEL / "tokenizer")("a photo of a cat").input_ids
    assert ids == [49406, 320, 1125, 539, 320, 2368, 49407]


def test_it_has_the_blocks_of_stable_diffusion_1() -> None:
    family = load_family(*_groups({}))
    targets = family.adapter_targets(conv=False)
    assert len([target for target in targets if target.part == "unet"]) == 192
    assert {target.block for target in family.adapter_targets(conv=True) if target.part == "unet"} == set(range(25)) - {
        0
    }


def test_every_name_is_asked_for_once() -> None:
    names = [captions.name_of(emoji) for emoji in captions.CURATED]
    assert len(set(names)) == len(names) >= 100


@pytest.mark.parametrize(
    ("name", "phrase"), [("red apple", "apple, red"), ("owl", "an owl"), ("red car", "a picture of a red car")]
)
def test_captions_are_phrased_as_people_do(name: str, phrase: str) -> None:
    assert phrase in captions.phrasings(name)


def test_the_demo_has_a_caption_for_each_picture() -> None:
    (folder,) = (STARTER / "demo").iterdir()
    assert folder.name == "20_bloop monster"
    pictures = sorted(folder.glob("*.png"))
    assert len(pictures) == 16
    assert all("bloop monster" in picture.with_suffix(".txt").read_text(encoding="utf-8") for picture in pictures)


def _groups(flat: dict[str, object]):  # noqa: ANN202 - two groups of a config
    config = from_flat(flat).unwrap()
    return config.model, config.precision


def test_diffusers_draws_with_our_lora_what_we_draw(tmp_path: Path) -> None:
    """The file goes through load_lora_weights; the pictures differ by rounding at most."""
    pytest.importorskip("peft")
    from diffusers import StableDiffusionPipeline

    config = from_flat({"pretrained_model_name_or_path": str(MODEL), "network_dim": 4, "learning_rate": 1e-3}).unwrap()
    family = load_family(config.model, config.precision)
    method = AdapterMethod(config, family)
    torch.manual_seed(0)
    for parameter in method.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    method.eval_mode()
    (prompt,) = read("bloop monster --d 7 --s 3 --l 4 --w 64 --h 64")
    with torch.no_grad():
        ours = sampling.draw(family, prompt, 0, sampling.Drawing(64, 64, 0, "ddim"))
    method.save(tmp_path / "lora.safetensors", Progress(step=1))

    pipe = StableDiffusionPipeline.from_pretrained(MODEL).to(torch.float32)
    pipe.set_progress_bar_config(disable=True)
    plain = _drawn(pipe)
    pipe.load_lora_weights(tmp_path / "lora.safetensors")
    theirs = _drawn(pipe)
    assert np.abs(_array(ours) - _array(theirs)).max() <= 2
    assert np.abs(_array(ours) - _array(plain)).mean() > 2, "the LoRA should change the picture"


def _drawn(pipe: object) -> Image.Image:
    seed = torch.Generator("cpu").manual_seed(7)
    drawn = pipe("bloop monster", width=64, height=64, num_inference_steps=3, guidance_scale=4.0, generator=seed)  # type: ignore[operator]
    picture: Image.Image = drawn.images[0]
    return picture


def _array(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture, dtype=np.int32)
