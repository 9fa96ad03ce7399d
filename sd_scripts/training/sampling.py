"""Sample pictures on the way: when, with what, and under which names."""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import draws
from ..config.sampling import SamplingConfig
from ..errors import UserError
from ..events import RunFolder, make_folder
from . import prompts, samplers
from .control import Control
from .progress import Progress
from .prompts import Prompt
from .rest import Rest

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..families.base import ModelFamily
    from .logging import Log

NEEDS_SCIPY = ("lms", "k_lms")


class NoSampler(UserError):
    """A sampler that can't be used here."""


def check(config: SamplingConfig) -> None:
    """Before anything is loaded. Raises BadPrompts, NoSampler."""
    if not config.sample_prompts:
        return
    names = {config.sample_sampler, *(prompt.sampler for prompt in prompts.read(config.sample_prompts))}
    missing = names.intersection(NEEDS_SCIPY) and importlib.util.find_spec("scipy") is None
    if missing:
        raise NoSampler(
            "sample_sampler: lms needs the package scipy; run `pip install scipy` or choose another sampler."
        )


@dataclass(frozen=True)
class Drawing:
    """How this run's samples are drawn where a prompt does not say."""

    width: int
    height: int
    seed: int
    sampler: str
    zero_terminal_snr: bool = False


def draw(
    family: ModelFamily, prompt: Prompt, index: int, drawing: Drawing, on_step: Callable[[], None] = lambda: None
) -> Image:
    """One picture by the live model. The same prompt draws the same noise each time, so that pictures can be compared.

    `index`: the prompt's number, from which its seed follows where it gives none.
    """
    sampler = prompt.sampler or drawing.sampler
    scheduler = samplers.create(sampler, family.noise_schedule, family.prediction_type, drawing.zero_terminal_snr)
    pipeline = family.pipeline(scheduler)
    pipeline.set_progress_bar_config(disable=True)

    def watched(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        on_step()
        return tensors

    latents_BCHW = pipeline(
        **_told(family, prompt),
        width=prompt.width or drawing.width,
        height=prompt.height or drawing.height,
        num_inference_steps=prompt.steps,
        guidance_scale=prompt.scale,
        generator=torch.Generator("cpu").manual_seed(seed_of(prompt, index, drawing.seed)),
        callback_on_step_end=watched,
        output_type="latent",
    ).images
    return _decode(family, latents_BCHW, pipeline)


def _told(family: ModelFamily, prompt: Prompt) -> dict[str, Tensor]:
    """What a prompt and its negative say, by the names that pipelines have for it; both of one length."""
    condition = family.condition([prompt.text, prompt.negative])
    found = {"prompt_embeds": condition.text_BTC, "pooled_prompt_embeds": condition.pooled_BD}
    return {
        f"{start}{name}": value[row : row + 1].to(family.device, family.compute_dtype)
        for row, start in enumerate(("", "negative_"))
        for name, value in found.items()
        if value is not None
    }


def _decode(family: ModelFamily, latents_BCHW: Tensor, pipeline: Any) -> Image:
    """In the VAE's own precision, wherever it waits until it is needed."""
    home = family.vae.device
    family.vae.to(latents_BCHW.device)
    with torch.autocast(latents_BCHW.device.type, enabled=False):
        pixels_BCHW = family.vae.decode((latents_BCHW / family.scaling_factor).to(family.vae.dtype)).sample
    family.vae.to(home)
    picture: Image = pipeline.image_processor.postprocess(pixels_BCHW.float(), output_type="pil")[0]
    return picture


def seed_of(prompt: Prompt, index: int, seed: int) -> int:
    return prompt.seed if prompt.seed is not None else draws.number(seed, "sample", index) % 2**32


def file_name(output_name: str | None, progress: Progress, by_epoch: bool, index: int, seed: int | None) -> str:
    """[OUT_]{e000002|000100}_{prompt 00}_{time}[_seed].png"""
    place = f"e{progress.epoch:06d}" if by_epoch else f"{progress.step:06d}"
    start = f"{output_name}_" if output_name else ""
    end = f"_{seed}" if seed is not None else ""
    return f"{start}{place}_{index:02d}_{time.strftime('%Y%m%d%H%M%S')}{end}.png"


@dataclass
class Sampler:
    """Draws the prompts at first, every so many steps or epochs, and when asked to."""

    config: SamplingConfig
    drawing: Drawing
    family: Any
    rest: Rest
    control: Control
    log: Log
    folder: Path  # output_dir/sample
    run: RunFolder | None  # None in processes that don't draw
    output_name: str | None
    wait: Callable[[], None]
    autocast: Callable[[], Any]
    _said: set[str] = field(default_factory=set)

    def before_training(self, progress: Progress) -> None:
        if self.config.sample_at_first and progress.step == 0:
            self._draw_all(progress, by_epoch=False)

    def maybe(self, progress: Progress, epoch_ended: bool) -> None:
        """Draws where it is due after this step."""
        config = self.config
        if config.sample_every_n_epochs:
            due = epoch_ended and progress.epoch % config.sample_every_n_epochs == 0
        else:
            due = config.sample_every_n_steps is not None and progress.step % config.sample_every_n_steps == 0
        asked = self.control.take("sample")
        if due or asked:
            self._draw_all(progress, by_epoch=due and bool(config.sample_every_n_epochs))

    def _draw_all(self, progress: Progress, by_epoch: bool) -> None:
        with self.rest(), self.autocast():  # rest in all processes, whose weights must stay equal
            if self.run is not None:
                self.log.flush()
                self._draw_each(self._prompts(), progress, by_epoch)
        self.wait()

    def _prompts(self) -> list[Prompt]:
        """Read again each time, so that prompts can be changed while training runs; a mistake in them stops nothing."""
        try:
            found = prompts.read(self.config.sample_prompts or "")
        except prompts.BadPrompts as error:
            self.log.notice("sample_prompts", str(error))
            return []
        if not found:
            self.log.notice("sample_prompts", "There are no prompts to draw.")
        for prompt in found:
            for option in prompt.ignored:
                self._say_once(f"{option} means nothing for this model and is left out.")
        return found

    def _say_once(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            self.log.notice("sample_prompts", sentence)

    def _draw_each(self, found: list[Prompt], progress: Progress, by_epoch: bool) -> None:
        for index, prompt in enumerate(found):
            self.log.state("sampling", f"Drawing sample {index + 1} of {len(found)}: {prompt.text}")
            self._check_sampler(prompt)
            name = file_name(self.output_name, progress, by_epoch, index, prompt.seed)
            try:
                self._keep(draw(self.family, prompt, index, self.drawing, self.control.check), name)
            except (torch.OutOfMemoryError, OSError) as error:
                self._pass_over(prompt, error)
                continue
            self.log.sample(
                step=progress.step,
                epoch=progress.epoch,
                index=index,
                prompt=prompt.text,
                seed=seed_of(prompt, index, self.drawing.seed),
                file=f"samples/{name}",
            )

    def _pass_over(self, prompt: Prompt, error: Exception) -> None:
        """A picture is worth less than the training."""
        if isinstance(error, OSError):
            reason = f"{error.strerror or error}; make room or look at the folder {self.folder}"
        else:
            reason = "the memory of the GPU is full; draw it smaller with --w and --h"
        self.log.notice("sample_prompts", f"{prompt.text!r} could not be drawn: {reason}.")

    def _check_sampler(self, prompt: Prompt) -> None:
        sampler = prompt.sampler or self.drawing.sampler
        if self.drawing.zero_terminal_snr and not samplers.supports_zero_terminal_snr(sampler):
            self._say_once(f"The sampler {sampler} can't begin at pure noise; ddim, euler and euler_a can.")

    def _keep(self, picture: Image, name: str) -> None:
        """Beside the trained files, and in the run's folder for the app."""
        assert self.run is not None
        file = make_folder(self.folder) / name
        picture.save(file)
        copy = self.run.samples / name
        copy.unlink(missing_ok=True)
        try:
            os.link(file, copy)
        except OSError:
            shutil.copyfile(file, copy)
