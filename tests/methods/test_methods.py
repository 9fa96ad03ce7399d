"""Adding a method: its class, and its group with its row. Nothing else has to know of it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from sd_scripts import estimate, methods, plan
from sd_scripts.config import load
from sd_scripts.config.methods import METHODS
from sd_scripts.methods.base import Method

ROOT = Path(__file__).parents[2]


def test_every_method_that_can_be_chosen_is_declared_and_done() -> None:
    choices = load.parameters()["method"].choices
    assert list(METHODS) == list(choices)
    assert all(issubclass(methods.kind(name), Method) for name in choices)


def test_a_new_one_is_made_and_its_numbers_are_told(monkeypatch) -> None:
    file = ModuleType("sd_scripts.methods.toy")
    file.Toy = lambda config, family, seed: (config.method, family, seed)
    monkeypatch.setitem(sys.modules, file.__name__, file)
    row = replace(METHODS["lora"], name="toy", method="toy:Toy", trained_numbers=lambda config, sizes: 7)
    monkeypatch.setitem(METHODS, "toy", row)
    config = load.from_flat({}).unwrap()
    config = config.model_copy(update={"model": config.model.model_copy(update={"method": "toy"})})
    assert methods.create(config, "family", 3) == ("toy", "family", 3)
    found = estimate.of(config, plan.make(config))
    assert (found.trained, found.disk.file) == (7, 4 * 7)


CHOSEN = """
from dataclasses import replace
from sd_scripts.config.methods import METHODS
METHODS["toy"] = replace(METHODS["lora"], name="toy", saves="A toy")
from sd_scripts.config import load
print(*load.parameters()["method"].choices)
print(*load.from_flat({"method": "toy", "save_model_as": "diffusers"}).problems, sep="\\n")
"""


def test_a_new_one_can_be_chosen_and_is_spoken_of():
    """In a process of its own: settings are declared once, from the rows that are there."""
    done = subprocess.run([sys.executable, "-c", CHOSEN], cwd=ROOT, capture_output=True, text=True, check=True)
    choices, *problems = done.stdout.splitlines()
    assert choices == "lora dreambooth finetune textual_inversion toy"
    assert "save_model_as: A toy can't be saved as diffusers; choose one of safetensors, ckpt, pt." in problems
