"""What fails while training runs: what was learned is kept where it is good, and a sentence says what helps."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from sd_scripts.data.dataset import BatchMaker
from sd_scripts.data.headers import BadImage
from sd_scripts.errors import UserError
from sd_scripts.methods.adapter import AdapterMethod
from sd_scripts.training import checkpoints, failures, loop, sampling
from sd_scripts.training.failures import KNOWN

MOVING = {"network_dropout": 0.1, "shuffle_caption": True, "lr_scheduler": "cosine"}


@contextmanager
def failing(owner: type[Any], name: str, number: int, error: Exception) -> Iterator[None]:
    """The method fails when it is called for the nth time."""
    works, calls = getattr(owner, name), []

    def fails(self: Any, *given: Any, **more: Any) -> Any:
        calls.append(name)
        if len(calls) == number:
            raise error
        return works(self, *given, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, fails)
        yield


def saved(ended: Any) -> list[str]:
    return [Path(event["file"]).name for event in ended.of("saved")]


FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
BROKEN = BadImage("The image x.png is broken.")
FAILURES = [(BatchMaker, "make", BROKEN, str(BROKEN)), (loop.Trainer, "loss", FULL, KNOWN[2][1])]


@pytest.mark.parametrize(("owner", "name", "error", "sentence"), FAILURES, ids=["image", "memory"])
def test_a_training_that_fails_keeps_its_complete_steps_and_goes_on_from_there(
    train: Any, owner: type[Any], name: str, error: Exception, sentence: str
) -> None:
    """An epoch of three batches is two steps here: the fifth batch is the second of the third step."""
    settings = {**MOVING, "gradient_accumulation_steps": 2, "max_train_steps": 4}
    whole = train(**settings).weights()
    with failing(owner, name, 5, error):
        failed = train(**settings)
    assert (failed.states[-1], failed.sentence) == ("failed", sentence)
    assert saved(failed) == ["tiny-step00000002.safetensors", "tiny-step00000002-state"]
    assert train(**settings, resume=failed.of("saved")[1]["file"]).weights() == whole


def test_nothing_is_saved_where_nothing_was_learned(train: Any) -> None:
    with failing(loop.Trainer, "loss", 1, FULL):
        assert saved(train()) == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "the memory of the GPU is full; draw it smaller with --w and --h."),
        (OSError(errno.ENOSPC, "No space left on device"),
         "No space left on device; make room or look at the folder {folder}."),
    ],
    ids=["memory", "disk"],
)  # fmt: skip
def test_a_sample_that_fails_costs_that_sample_alone(
    train: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    draw = sampling.draw

    def fails_first(family: Any, prompt: Any, index: int, *more: Any) -> Any:
        if index == 0:
            raise error
        return draw(family, prompt, index, *more)

    monkeypatch.setattr(sampling, "draw", fails_first)
    ended = train(sample_prompts="a cat --s 1\na dog --s 1", sample_every_n_steps=2, max_train_steps=2)
    assert ended.states[-1] == "done"
    assert [event["prompt"] for event in ended.of("sample")] == ["a dog"]
    said = reason.format(folder=ended.output / "sample")
    assert [n["message"] for n in ended.of("notice")] == [f"'a cat' could not be drawn: {said}"]


def test_a_disk_that_is_full_for_a_while_costs_the_files_of_that_while(
    train: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, free = shutil.disk_usage("."), iter([1 << 40, 1 << 40, 0])  # checked before the run, before the steps, then

    def usage(folder: Any) -> Any:
        return SimpleNamespace(free=next(free, room.free))

    monkeypatch.setattr(checkpoints.shutil, "disk_usage", usage)
    ended = train(save_every_n_steps=2, max_train_steps=5)
    assert saved(ended) == ["tiny-step00000004.safetensors", "tiny.safetensors"]
    (notice,) = [n["message"] for n in ended.of("notice") if n["key"] == "output_dir"]
    assert notice.startswith(f"Not all was saved at step 2; training goes on. The disk of {ended.output} is full: ")


UNWRITTEN = [
    (OSError(errno.EDQUOT, "Disk quota exceeded"), "{file} could not be saved: Disk quota exceeded. Make room or "),
    (SafetensorError("I/O error: No space left on device"), "{file} could not be saved: I/O error: No space left "),
    (RuntimeError("PytorchStreamWriter failed writing file"), "{file} could not be saved: PytorchStreamWriter failed "),
    (UserError("It could not be saved because the disk is full; free some space."), "It could not be saved because "),
]


@pytest.mark.parametrize(("error", "said"), UNWRITTEN, ids=lambda value: type(value).__name__)
def test_a_file_that_cannot_be_written_costs_that_file_alone(
    train: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    """Quotas are not seen before."""
    save, errors = AdapterMethod.save, iter([error])

    def fails_first(method: Any, path: Any, progress: Any) -> None:
        for reason in errors:
            raise reason
        save(method, path, progress)

    monkeypatch.setattr(AdapterMethod, "save", fails_first)
    ended = train(save_every_n_steps=1, max_train_steps=2)
    assert ended.states[-1] == "done"
    assert saved(ended) == ["tiny-step00000002.safetensors", "tiny.safetensors"]
    (notice,) = [n["message"] for n in ended.of("notice") if n["key"] == "output_dir"]
    file = ended.output / "tiny-step00000001.safetensors"
    assert notice.startswith(f"Not all was saved at step 1; training goes on. {said.format(file=file)}")


def test_curves_that_cannot_be_written_end_and_the_training_goes_on(
    train: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from accelerate import Accelerator

    def full(self: Any, values: Any, step: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Accelerator, "log", full)
    ended = train(logging_dir=tmp_path / "logs", max_train_steps=2)
    assert ended.states[-1] == "done"
    assert [n["message"] for n in ended.of("notice")] == [
        "The curves end at step 1, because they can't be written any more: [Errno 28] No space left on device."
    ]


WORKER, MEMORY, GPU_MEMORY, GPU = (sentence for _, sentence in KNOWN)
IN_WORDS = [
    (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), WORKER),
    (RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly"), WORKER),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), MEMORY),
    (MemoryError(), MEMORY),
    (RuntimeError("CUDA error: out of memory\nmore"), GPU_MEMORY),
    (RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be"),
     GPU.format(line="CUDA error: unspecified launch failure")),
    (OSError(errno.ENOSPC, "No space left on device"),
     "The disk is full: make room, then resume from the last saved state."),
    (KeyError("x"), "The program failed with KeyError: x (the lines above say where)."),
]  # fmt: skip


@pytest.mark.parametrize(("error", "sentence"), IN_WORDS, ids=[str(error)[:20] for error, _ in IN_WORDS])
def test_what_other_libraries_say_is_put_in_words(error: Exception, sentence: str) -> None:
    assert failures.in_words(error) == sentence
