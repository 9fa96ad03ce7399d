"""How strong a network is in a merge: as a whole, and in each block of the U-Net.

Blocks go by their places in the original layout: IN00 to IN11 on the way down, MID, OUT00 to OUT11 on the way up, and
BASE for the text encoders. Which places a list names is told by its length, as in networks/svd_merge_lora.py of
kohya-ss/sd-scripts (LAYER12, 17, 20, 26) and hako-mikan/sd-webui-lora-block-weight (BLOCKID12 to 26). What lies in no
place of the list keeps the whole ratio: so sd-scripts has it, where web UIs set LoCon's further layers to 0. No torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..config.schema import Problem
from ..errors import UserError

BASE, OTHER = "BASE", "OTHER"
DOWN_PATH = re.compile(r"unet_down_blocks_(\d+)_(?:attentions|resnets|downsamplers)_(\d+)")
UP_PATH = re.compile(r"unet_up_blocks_(\d+)_(?:attentions|resnets|upsamplers)_(\d+)")
ORIGINAL = re.compile(r"unet_(input|output)_blocks_(\d+)_")
"""Names of SDXL's modules, which say the place outright."""
EMBEDDINGS = ("unet_time_embed", "unet_label_emb_", "unet_conv_in", "unet_add_embedding_")
"""Before the first block, so that they go with IN00."""


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
FAMILIES = {26: ("sd1", "sd2", "sdxl"), 17: ("sd1", "sd2"), 20: ("sdxl",), 12: ("sdxl",)}
"""How many numbers -> the models whose blocks they name. SDXL has no place that a list of 26 leaves out."""


@dataclass(frozen=True)
class Strength:
    """blocks: place -> factor on the ratio; a place that is not in it has the factor 1."""

    ratio: float
    blocks: Mapping[str, float] = field(default_factory=dict)

    def of(self, module: str) -> float:
        return self.ratio * self.blocks.get(place_of(module), 1.0)


def strengths(ratios: Sequence[float], lists: Sequence[str], families: Sequence[str | None]) -> list[Strength]:
    """One for each network, whose family is given. The lists must have been found right by `problems`.

    Raises UserError where a list is for the blocks of another family.
    """
    given = ratios or (1.0,) * len(families)
    if not lists:
        return [Strength(ratio) for ratio in given]
    weights = [_numbers(text) for text in lists]
    for found, family in zip(weights, families, strict=True):
        if family and family not in FAMILIES[len(found)]:
            fitting = " or ".join(str(count) for count, known in sorted(FAMILIES.items()) if family in known)
            raise UserError(
                f"lbws: A list of {len(found)} numbers is for {', '.join(FAMILIES[len(found)])} and the network is for "
                f"{family}; give {fitting} numbers."
            )
    blocks = [dict(zip(LISTS[len(found)], found, strict=True)) for found in weights]
    return [Strength(*pair) for pair in zip(given, blocks, strict=True)]


def split_lists(value: object) -> object:
    """Lists in brackets, or one a line -> each as a text; other values pass."""
    if not isinstance(value, str):
        return value
    return re.findall(r"\[[^\]]*\]", value) or [line.strip() for line in value.splitlines() if line.strip()]


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
    """`1,0.5,0`, in square brackets or without."""
    return [float(number) for number in text.strip().removeprefix("[").removesuffix("]").split(",")]


def place_of(module: str) -> str:
    """BASE, IN04, MID or OUT11; OTHER where a module lies in no block of the U-Net."""
    layer = module.partition("_")[2]  # without "lora" or "oft"
    original = ORIGINAL.match(layer)
    if original:
        return f"{'IN' if original[1] == 'input' else 'OUT'}{int(original[2]):02}"
    if layer.startswith(("unet_mid_block_", "unet_middle_block_")):
        return "MID"
    if layer.startswith(EMBEDDINGS):
        return "IN00"
    down, up = DOWN_PATH.match(layer), UP_PATH.match(layer)
    if down:
        return f"IN{1 + 3 * int(down[1]) + (2 if '_downsamplers_' in layer else int(down[2])):02}"
    if up:
        return f"OUT{3 * int(up[1]) + (2 if '_upsamplers_' in layer else int(up[2])):02}"
    return OTHER if layer.startswith("unet_") else BASE
