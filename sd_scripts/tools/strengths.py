"""How strong a network is in a merge: as a whole, and in each block of the U-Net.

Blocks go by their places: IN00 to IN11 on the way down, MID, OUT00 to OUT11 on the way up, and BASE for everything that
lies in none, the text encoders above all. Lists of 26, 20, 17 and 12 numbers name the places that sd-scripts' lists of
these lengths name; a place that a list leaves out counts 0. No torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..config.schema import Problem

BASE = "BASE"
DOWN_PATH = re.compile(r"lora_unet_down_blocks_(\d+)_(?:attentions|resnets|downsamplers)_(\d+)")
UP_PATH = re.compile(r"lora_unet_up_blocks_(\d+)_(?:attentions|resnets|upsamplers)_(\d+)")
ORIGINAL = re.compile(r"lora_unet_(input|output)_blocks_(\d+)_")
"""Names of SDXL's modules, which say the place outright."""


def _places(*, inside: Sequence[int], outside: Sequence[int]) -> tuple[str, ...]:
    return (BASE, *(f"IN{n:02}" for n in inside), "MID", *(f"OUT{n:02}" for n in outside))


LISTS = {
    len(places): places
    for places in (
        _places(inside=range(12), outside=range(12)),
        _places(inside=range(9), outside=range(9)),
        _places(inside=(1, 2, 4, 5, 7, 8), outside=range(3, 12)),
        _places(inside=(4, 5, 7, 8), outside=range(6)),
    )
}
"""How many numbers -> the place of each: all blocks of SD 1.x and 2.x, of SDXL, and those of both with attention."""


@dataclass(frozen=True)
class Strength:
    """blocks: place -> factor on the ratio; None for 1 everywhere."""

    ratio: float
    blocks: Mapping[str, float] | None = None

    def of(self, module: str) -> float:
        return self.ratio if self.blocks is None else self.ratio * self.blocks.get(place_of(module) or BASE, 0.0)


def strengths(ratios: Sequence[float], lists: Sequence[str], networks: int) -> list[Strength]:
    """One for each network. The lists must have been found right by `problems`."""
    given = ratios or (1.0,) * networks
    if not lists:
        return [Strength(ratio) for ratio in given]
    weights = [_numbers(text) for text in lists]
    blocks = [dict(zip(LISTS[len(found)], found, strict=True)) for found in weights]
    return [Strength(*pair) for pair in zip(given, blocks, strict=True)]


def problems(lists: Sequence[str], models: Sequence[str]) -> Iterator[Problem]:
    if lists and len(lists) != len(models):
        yield Problem("lbws", f"It has {len(lists)} lists for {len(models)} models; give one for each, or none.")
    for text in lists:
        try:
            count = len(_numbers(text))
        except ValueError:
            yield Problem(
                "lbws", f"{text!r} is not a list of numbers; write them with commas between, such as 1,0.5,0."
            )
            continue
        if count not in LISTS:
            lengths = ", ".join(map(str, sorted(LISTS)))
            yield Problem("lbws", f"A list has {count} numbers; it must have one of {lengths}, the first for BASE.")


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def place_of(module: str) -> str | None:
    """IN04, MID or OUT11; None where a module lies in no block of the U-Net."""
    original = ORIGINAL.match(module)
    if original:
        return f"{'IN' if original[1] == 'input' else 'OUT'}{int(original[2]):02}"
    if module.startswith(("lora_unet_mid_block_", "lora_unet_middle_block_")):
        return "MID"
    down, up = DOWN_PATH.match(module), UP_PATH.match(module)
    if down:
        return f"IN{1 + 3 * int(down[1]) + (2 if '_downsamplers_' in module else int(down[2])):02}"
    if up:
        return f"OUT{3 * int(up[1]) + (2 if '_upsamplers_' in module else int(up[2])):02}"
    return None
