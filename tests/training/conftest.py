from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


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

        return Weights(load_file(str(self.output / name)))


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
        words = []
        for key, value in settings.items():
            many = value if isinstance(value, (list, tuple)) else [value]
            words += [f"--{key}", *(str(one).lower() if isinstance(one, bool) else str(one) for one in many)]
        before = len(RunFolder(str(settings["run_dir"])).read()[0])
        code = main(words)
        events = RunFolder(str(settings["run_dir"])).read()[0][before:]
        return Ended(code, Path(str(settings["output_dir"])), Path(str(settings["run_dir"])), events)

    yield run
    AcceleratorState._reset_state(reset_partial_state=True)
