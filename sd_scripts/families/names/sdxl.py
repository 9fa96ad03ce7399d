"""What the layers of SDXL's U-Net are called in adapter files: by their places in the original layout."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from .ldm import unet_names
from .tables import Names, renamed

FIRST, LAST = 0, 22
STARTS = {"input_blocks": 1, "middle_block": 10, "output_blocks": 13}
"""The first of the U-Net's 23 blocks in each third; before them what it embeds, after them what is left."""


class Original:
    def name(self, path: str, config: Mapping[str, Any]) -> str:
        return f"lora_unet_{_original(path, config).replace('.', '_')}"

    def block(self, path: str, config: Mapping[str, Any]) -> int | None:
        third, *rest = _original(path, config).split(".")
        if third in STARTS:
            return STARTS[third] + int(rest[0])
        return LAST if third == "out" else FIRST


ORIGINAL = Original()


def _original(path: str, config: Mapping[str, Any]) -> str:
    shape = (config["down_block_types"], config["up_block_types"], config["layers_per_block"])
    found = renamed(path, _table(*map(_hashable, shape)))
    if found is None:
        raise KeyError(f"the original layout has no name for {path}")
    return found


@cache
def _table(down: tuple[str, ...], up: tuple[str, ...], layers: int) -> Names:
    return unet_names({"down_block_types": down, "up_block_types": up, "layers_per_block": layers})


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
