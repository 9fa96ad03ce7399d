"""Images that are marked in a dataset file teach nothing but to answer as before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sd_scripts.objective import Noisy
from sd_scripts.training import preserving

MARKED = {"diff_output_preservation": True}


class Trained:
    """Answers 7 everywhere, and 3 without its network."""

    answer = 7.0

    @contextmanager
    def left_out(self) -> Iterator[None]:
        self.answer = 3.0
        yield
        self.answer = 7.0

    def predict(self, noisy_BCHW: torch.Tensor, t_B: torch.Tensor, condition: Any) -> torch.Tensor:
        return torch.full_like(noisy_BCHW, self.answer)


def noisy() -> Noisy:
    zeros = torch.zeros(3, 4, 2, 2)
    return Noisy(zeros, torch.tensor([1, 2, 3]), zeros + 1, zeros)


@pytest.mark.parametrize(
    ("attributes", "targets"),
    [
        ([{}, MARKED, {"other": 1}], [1, 3, 1]),
        ([MARKED] * 3, [3, 3, 3]),
        ([{"diff_output_preservation": False}] * 3, [1, 1, 1]),
    ],
)
def test_a_marked_image_has_the_answer_without_the_network_as_its_target(
    attributes: list[dict[str, Any]], targets: list[float]
) -> None:
    model = Trained()
    batch: Any = SimpleNamespace(attributes=attributes)
    aimed = preserving.aimed(batch, noisy(), None, model, model)  # type: ignore[arg-type]
    assert aimed.target_BCHW[:, 0, 0, 0].tolist() == targets
    assert model.answer == 7


def marked(folder: Path, images: Path) -> str:
    text = f"[[datasets]]\n[[datasets.subsets]]\nimage_dir = '{images / '1_colour'}'\n"
    file = folder / "marked.toml"
    file.write_text(f"{text}[datasets.subsets.custom_attributes]\ndiff_output_preservation = true\n", encoding="utf-8")
    return str(file)


def test_a_network_that_starts_from_nothing_has_nothing_to_learn_from_them(
    train: Any, tmp_path: Path, tiny_images: Path
) -> None:
    settings = {"dataset_config": marked(tmp_path, tiny_images), "train_data_dir": None, "max_train_steps": 2}
    ended = train(**settings, validation_split=0.4, validate_every_n_steps=1)
    assert ended.losses == [0, 0] and [event["loss"] for event in ended.of("validation")] == [0, 0]
    assert all(not value.any() for name, value in ended.weights().items() if "lora_up" in name)
    whole = train(**settings, method="dreambooth")
    assert min(whole.losses) > 0
    assert any("custom_attributes: diff_output_preservation has no effect" in n["message"] for n in whole.of("notice"))


def test_the_network_is_there_again_afterwards(train: Any, tmp_path: Path, tiny_images: Path) -> None:
    """One that has learned something is drawn back to what was before."""
    settings = {"max_train_steps": 3, "learning_rate": 1e-2}
    learned = train(**settings, output_name="learned")
    marks = {"dataset_config": marked(tmp_path, tiny_images), "train_data_dir": None}
    ended = train(**settings, **marks, network_weights=str(learned.output / "learned.safetensors"))
    assert all(0 < loss < 0.1 * min(learned.losses) for loss in ended.losses)
