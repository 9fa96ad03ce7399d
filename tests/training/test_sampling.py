"""Samples: when, under which names, and that they are what any diffusers pipeline draws from the same network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sd_scripts.training.progress import Progress
from sd_scripts.training.prompts import SAMPLERS, Prompt
from sd_scripts.training.sampling import Drawing, check, draw, file_name, seed_of

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")

NAMES = [
    (("cat", False, None), r"cat_000100_01_\d{14}\.png"),
    (("cat", False, 42), r"cat_000100_01_\d{14}_42\.png"),
    ((None, True, None), r"e000002_01_\d{14}\.png"),
    (("cat", True, 7), r"cat_e000002_01_\d{14}_7\.png"),
]


@pytest.mark.parametrize(("case", "pattern"), NAMES)
def test_names_are_those_of_the_reference(case: tuple[str | None, bool, int | None], pattern: str) -> None:
    output_name, by_epoch, seed = case
    assert re.fullmatch(pattern, file_name(output_name, Progress(100, 2, 0), by_epoch, 1, seed))


def test_a_prompt_without_a_seed_draws_the_same_noise_each_time() -> None:
    assert seed_of(Prompt("a"), 0, 1) == seed_of(Prompt("b"), 0, 1) != seed_of(Prompt("a"), 1, 1)
    assert seed_of(Prompt("a", seed=5), 0, 1) == 5


def test_samples_are_drawn_when_asked_for_and_listed(train: Any) -> None:
    """Six steps of three an epoch, at first and after the fourth; the data set's 32 pixels where no side is given."""
    ended = train(
        sample_at_first=True, sample_every_n_steps=4, sample_prompts="a cat --w 72 --s 1 --d 3\na dog --s 1 --cn x"
    )
    samples = ended.of("sample")
    assert [(s["step"], s["index"], s["prompt"]) for s in samples] == [
        (0, 0, "a cat"), (0, 1, "a dog"), (4, 0, "a cat"), (4, 1, "a dog"),
    ]  # fmt: skip
    assert samples[0]["seed"] == 3
    for sample in samples:
        name = Path(sample["file"]).name
        with Image.open(ended.run / sample["file"]) as picture:
            assert picture.size == ((72, 32) if sample["index"] == 0 else (32, 32))
        assert (ended.output / "sample" / name).is_file()
    notices = [n["message"] for n in ended.of("notice") if n["key"] == "sample_prompts"]
    assert notices == ["--cn means nothing for this model and is left out."]


@pytest.fixture(scope="module")
def family(tiny_model: Path) -> Any:
    from sd_scripts.config.model import ModelConfig
    from sd_scripts.config.precision import PrecisionConfig
    from sd_scripts.families import load_family

    return load_family(ModelConfig(pretrained_model_name_or_path=str(tiny_model)), PrecisionConfig())


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if not name.startswith("k_")])
def test_every_sampler_draws(family: Any, sampler: str) -> None:
    import torch

    with torch.no_grad():
        picture = draw(family, Prompt("a cat", steps=3), 0, Drawing(64, 64, 1, sampler))
    assert picture.size == (64, 64)


def test_a_sample_is_what_a_diffusers_pipeline_draws(family: Any) -> None:
    """The same prompt, seed, scheduler and guidance, but through the pipeline's own encoding of the prompts."""
    import torch

    from sd_scripts.training import samplers

    pipeline = family.pipeline(samplers.create("ddim", family.noise_schedule, "epsilon"))
    pipeline.set_progress_bar_config(disable=True)
    with torch.no_grad():
        expected = pipeline(
            "a cat", negative_prompt="a dog", width=64, height=64, num_inference_steps=4, guidance_scale=5,
            generator=torch.Generator("cpu").manual_seed(9),
        ).images[0]  # fmt: skip
        drawn = draw(family, Prompt("a cat", "a dog", steps=4, scale=5, seed=9), 0, Drawing(64, 64, 1, "ddim"))
    assert np.abs(np.asarray(expected, dtype=int) - np.asarray(drawn, dtype=int)).max() <= 1


def test_zero_terminal_snr_begins_at_pure_noise() -> None:
    """Its last step has no signal, and the first step of a sample stands there."""
    from sd_scripts.training import samplers

    schedule = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    scheduler = samplers.create("ddim", schedule, "v_prediction", zero_terminal_snr=True)
    scheduler.set_timesteps(10)
    assert scheduler.timesteps[0] == 999 and scheduler.alphas_cumprod[999] == 0


def test_prompts_that_cannot_be_read_are_said_before_loading(train: Any, tmp_path: Path) -> None:
    ended = train(sample_every_n_steps=1, sample_prompts=str(tmp_path / "no.txt"))
    assert ended.code == 2 and "loading" not in ended.states
    assert ended.sentence == f"sample_prompts: The file {tmp_path / 'no.txt'} does not exist; check its name."


def test_settings_without_prompts_need_nothing() -> None:
    from sd_scripts.config.sampling import SamplingConfig

    check(SamplingConfig())


def test_prompts_of_other_lengths_are_drawn_without_padding_too(tiny_model: Path) -> None:
    import torch

    from sd_scripts.config.model import ModelConfig
    from sd_scripts.config.precision import PrecisionConfig
    from sd_scripts.families import load_family

    unpadded = load_family(
        ModelConfig(pretrained_model_name_or_path=str(tiny_model), no_token_padding=True), PrecisionConfig()
    )
    with torch.no_grad():
        picture = draw(unpadded, Prompt("a cat on a mat", negative="dog", steps=2), 0, Drawing(32, 32, 1, "ddim"))
    assert picture.size == (32, 32)
