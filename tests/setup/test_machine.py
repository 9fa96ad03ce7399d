"""Which build of PyTorch fits which machine."""

from __future__ import annotations

import pytest

from setup import machine
from setup.machine import Machine

CASES = [
    pytest.param(Machine("Linux", "x86_64"), ("default",), id="no GPU"),
    pytest.param(Machine("Darwin", "arm64", kind="mps"), ("default",), id="Apple chip"),
    pytest.param(Machine("Linux", "x86_64", kind="cuda", cuda=(13, 1)), ("default",), id="recent NVIDIA driver"),
    pytest.param(Machine("Linux", "x86_64", kind="cuda"), ("default",), id="NVIDIA driver of unknown age"),
    pytest.param(
        Machine("Linux", "x86_64", kind="cuda", cuda=(12, 9)), ("cu128", "cu126", "default"), id="older NVIDIA driver"
    ),
    pytest.param(Machine("Linux", "x86_64", kind="cuda", cuda=(12, 4)), ("cu126", "default"), id="old NVIDIA driver"),
    pytest.param(Machine("Windows", "AMD64", kind="cuda", cuda=(13, 0)), ("cu130", "default"), id="Windows, NVIDIA"),
    pytest.param(Machine("Windows", "AMD64"), ("default",), id="Windows, no GPU"),
    pytest.param(Machine("Linux", "x86_64", kind="rocm"), ("rocm7.2", "rocm7.1", "default"), id="AMD"),
]


@pytest.mark.parametrize(("here", "choices"), CASES)
def test_the_build_that_fits_is_looked_for_first_and_the_default_index_last(
    here: Machine, choices: tuple[str, ...]
) -> None:
    assert machine.torch_choices(here) == choices


def test_a_name_means_an_index_of_pytorch_and_an_address_means_itself() -> None:
    assert machine.index_address("default") == ""
    assert machine.index_address("cu130").endswith("/whl/cu130")
    assert machine.index_address("https://wheels.example/simple") == "https://wheels.example/simple"


def test_an_nvidia_card_is_recognised_by_what_its_tool_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*command: str) -> str:
        if command == ("nvidia-smi",):
            return "| NVIDIA-SMI 550.54   Driver Version: 550.54   CUDA Version: 12.4 |"
        return "NVIDIA GeForce RTX 4090, 24564 MiB, 550.54" if command[0] == "nvidia-smi" else ""

    monkeypatch.setattr(machine, "output_of", answer)
    monkeypatch.setattr(machine.platform, "system", lambda: "Linux")
    here = machine.look()
    assert (here.kind, here.cuda, here.driver) == ("cuda", (12, 4), "550.54")
    assert here.gpus == ("NVIDIA GeForce RTX 4090, 24564 MiB",)


def test_a_tool_that_is_not_there_prints_nothing() -> None:
    assert machine.output_of("no-such-tool-anywhere") == ""
