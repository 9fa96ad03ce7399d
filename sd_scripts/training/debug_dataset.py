"""Writes what the trainer would see: pictures and captions of the first epoch, after everything is done to them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..config.train_config import TrainConfig
from ..data import dataset
from ..events import Events, RunFolder, make_folder
from .logging import console

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..data.dataset import Batch
    from ..plan import Plan

FOLDER = "debug_dataset"


def write(config: TrainConfig, plan: Plan, run: RunFolder | None, events: Events) -> None:
    """No model is loaded for this."""
    if run is None:
        return
    folder = make_folder(run.path / FOLDER, "run_dir")
    batches = dataset.build(config, plan)
    events.state("training", f"Writing pictures and captions to {folder}")
    for number, batch in enumerate(islice(batches.after(0, 0), batches.per_epoch)):
        write_batch(folder, number, batch)
        events.write("progress", what="writing the data set", done=number + 1, total=batches.per_epoch)
    console.info("Wrote %d batches to %s", batches.per_epoch, folder)
    events.state("done", f"Wrote the data set as it is trained to {folder}")


def write_batch(folder: Path, number: int, batch: Batch) -> None:
    for index, (picture, caption) in enumerate(zip(_pictures(batch), batch.captions, strict=True)):
        stem = f"{number:05d}_{index:02d}"
        picture.save(folder / f"{stem}.png")
        (folder / f"{stem}.txt").write_text(caption + "\n", encoding="utf-8")
        if batch.masks_B1HW is not None:
            _grey(batch.masks_B1HW[index, 0]).save(folder / f"{stem}_mask.png")


def _pictures(batch: Batch) -> Iterator[Image]:
    from PIL import Image

    assert batch.pixels_BCHW is not None
    for pixels_CHW in batch.pixels_BCHW:
        bytes_HWC = ((pixels_CHW.float() + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
        yield Image.fromarray(bytes_HWC)


def _grey(mask_HW: Tensor) -> Any:
    from PIL import Image

    return Image.fromarray((mask_HW.float() * 255).round().clamp(0, 255).byte().cpu().numpy())
