"""One training put together from its settings up to the first step, with everything watched that looks outward."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from scene import Scene


@dataclass
class Seen:
    """A training that is ready to begin, and what was noticed on the way. `notes`: subject -> what happened, in
    order."""

    settings: dict[str, Any]
    scene: Scene
    config: Any
    notes: dict[str, list[Any]] = field(default_factory=dict)
    parts: Any = None
    trainer: Any = None

    def note(self, subject: str, what: Any) -> None:
        self.notes.setdefault(subject, []).append(what)

    def noted(self, *subjects: str) -> list[list[Any]]:
        return [self.notes.get(subject, []) for subject in subjects]


Surface = Callable[[Seen], Any]


def observe(scene: Scene, settings: Mapping[str, Any], surfaces: Mapping[str, Surface]) -> dict[str, str]:
    """Surface -> what is to be seen there under these settings, as a text. Nothing of it stays behind."""
    from sd_scripts import train
    from sd_scripts.config.load import from_flat
    from sd_scripts.errors import UserError
    from sd_scripts.events import Events
    from sd_scripts.training import run

    config = from_flat(settings).unwrap()
    seen = Seen(dict(settings), scene, config)
    found: dict[str, str] = {}
    with _watched(seen) as patch:

        def look(parts: Any) -> None:
            from sd_scripts.training.build import build

            seen.note("what is done", "training")
            seen.parts, seen.trainer = parts, build(parts)
            found.update({name: repr(surface(seen)) for name, surface in surfaces.items()})

        patch.setattr(run, "_train", look)
        train._choose_devices(config)
        opened = train.open_run(config)
        seen.note("run folder", opened.path.name if config.logging.run_dir else "made up")
        with closing(Events(opened)) as events:
            try:
                run.run_training(config, opened, events)
            except UserError as error:
                found["refused"] = str(error)
    return found or {"run": repr(seen.noted("run folder", "what is done"))}


@contextmanager
def _watched(seen: Seen) -> Iterator[pytest.MonkeyPatch]:
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    before, stale = set(seen.scene.root.rglob("*")), seen.scene.root / "stale"
    if stale.is_dir() and seen.config.dataset.cache_latents_to_disk:
        shutil.copytree(stale, seen.scene.images / "2_thing", dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", os.environ.copy())
        patch.setenv("XDG_CACHE_HOME", str(seen.scene.root / "cache"))
        _watch_hub(patch, seen)
        _watch_libraries(patch, seen)
        yield patch
    _close_console()
    for left in sorted(set(seen.scene.root.rglob("*")) - before, reverse=True):
        left.rmdir() if left.is_dir() else left.unlink()


def _close_console() -> None:
    console = logging.getLogger("sd_scripts")
    for handler in list(console.handlers):
        console.removeHandler(handler)
        handler.close()


def _watch_hub(patch: pytest.MonkeyPatch, seen: Seen) -> None:
    class Hub:
        def __init__(self, token: str | None = None) -> None:
            self._token = token

        def __getattr__(self, name: str) -> Any:
            def act(*given: Any, **more: Any) -> str:
                words = {key: getattr(value, "name", value) for key, value in more.items()}
                time.sleep(0.02 if name.startswith("upload") else 0)
                seen.note("files", (name, self._token, given, sorted(words.items())))
                return "/" + str(given[0]) if given else ""

            return act

    patch.setattr("huggingface_hub.HfApi", Hub)


def _watch_libraries(patch: pytest.MonkeyPatch, seen: Seen) -> None:
    import gc

    import torch
    from accelerate import Accelerator
    from diffusers import AutoencoderKL
    from torch import nn
    from transformers import CLIPTextModel

    from sd_scripts.data import dataset
    from sd_scripts.families import latent_diffusion
    from sd_scripts.training import memory, run, trackers

    encode = AutoencoderKL.encode

    def encoding(vae: Any, pixels: Any, *more: Any, **others: Any) -> Any:
        seen.note("encoded", tuple(pixels.shape))
        return encode(vae, pixels, *more, **others)

    class Loader:
        def __init__(self, made: Any, *, sampler: Any, num_workers: int, **_: Any) -> None:
            self._made, self._sampler = made, sampler
            seen.note("loaders", num_workers)

        def __iter__(self) -> Iterator[Any]:
            return (self._made[where] for where in self._sampler)

    read = CLIPTextModel.forward

    def reading(encoder: Any, *given: Any, **more: Any) -> Any:
        if not torch.is_grad_enabled():
            seen.note("read", tuple((given[0] if given else more["input_ids"]).shape))
        return read(encoder, *given, **more)

    patch.setattr(CLIPTextModel, "forward", reading)
    patch.setattr(AutoencoderKL, "encode", encoding)
    patch.setattr(dataset, "DataLoader", Loader)
    patch.setattr(Accelerator, "init_trackers", lambda _, *given, **more: seen.note("trackers", (given, more)))
    patch.setattr(trackers, "check", lambda config: None)
    patch.setattr(nn.Module, "compile", lambda _, **how: seen.note("compiled", how))
    patch.setattr(memory.gc, "collect", lambda: seen.note("memory handed back", gc.isenabled()))
    patch.setattr(memory, "device_type", lambda: "cpu")
    patch.setattr(latent_diffusion, "loading_device", _device(latent_diffusion.loading_device, seen))
    patch.setattr(memory, "check", lambda precision, device: None)
    patch.setattr(run, "make_accelerator", _accelerator(run.make_accelerator))
    patch.setattr("accelerate.accelerator.filter_trackers", lambda wanted, *_: list(wanted or []))


def _device(choose: Callable[[Any], str], seen: Seen) -> Callable[[Any], str]:
    """As chosen where there is a GPU, for which a processor stands in."""

    def chosen(model: Any) -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("torch.cuda.is_available", lambda: True)
            seen.note("read to", choose(model))
        return "cpu:0" if seen.notes["read to"] == ["cuda"] else "cpu"

    return chosen


def _accelerator(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """As made for a GPU where fp16 is asked for, which no CPU computes in."""

    def made(config: Any) -> Any:
        if config.precision.mixed_precision != "fp16":
            return make(config)
        precision = config.precision.model_copy(update={"mixed_precision": "no"})
        accelerator = make(config.model_copy(update={"precision": precision}))
        accelerator.state._mixed_precision = "fp16"
        return accelerator

    return made
