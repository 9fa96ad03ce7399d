"""How many numbers the parts of a model hold, from the headers of its files or from what its family is. No torch."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from .config.model_sizes import VAE_LEVELS, Layers, Part, Sizes
from .errors import UserError
from .families import detect

Shape = tuple[int, ...]

ATTENTION = re.compile(r"(^|\.)(proj_in|proj_out|transformer_blocks\..+)\.weight$")
EDGES = ("conv_in.", "conv_out.", "time_embed", "add_embedding.", "label_emb.", "input_blocks.0.0.", "out.")
TEXT_LAYER = re.compile(r"(layers|resblocks)\.(\d+)\..+(weight)$")
VAE_LEVEL = re.compile(r"encoder\.down(?:_blocks)?\.(\d+)\.")
PREFIXES = (
    ("model.diffusion_model.", "unet"), ("first_stage_model.", "vae"), ("cond_stage_model.", "text_encoder"),
    ("conditioner.embedders.0.", "text_encoder"), ("conditioner.embedders.1.", "text_encoder_2"),
)  # fmt: skip
PARTS = ("unet", "text_encoder", "text_encoder_2", "vae")


VAE = Part(83_653_863, depth=VAE_LEVELS)  # the same in all families


def of_model(name: str, family: str) -> Sizes:
    """Of the model of that name; of its family where it is on a hub, or a file that only torch can read."""
    try:
        path = detect.find(name)
        shapes = _shapes(path) if path else {}
    except UserError:
        shapes = {}
    return from_shapes(shapes) if shapes.get("unet") else of_family(family)


def from_shapes(shapes: Mapping[str, Mapping[str, Shape]]) -> Sizes:
    """{part: {tensor's name: shape}}."""
    return Sizes({name: _part(name, shapes[name]) for name in PARTS if shapes.get(name)})


def _shapes(path: Path) -> dict[str, dict[str, Shape]]:
    if path.is_dir():
        folders = {part: _folder_shapes(path / part) for part in PARTS}
        return {part: shapes for part, shapes in folders.items() if shapes}
    found: dict[str, dict[str, Shape]] = {}
    for name, shape in _header(path).items():
        for prefix, part in PREFIXES:
            if name.startswith(prefix):
                found.setdefault(part, {})[name.removeprefix(prefix)] = shape
                break
    return found


def _folder_shapes(folder: Path) -> dict[str, Shape]:
    """Variants (fp16, ema) hold the same tensors again; the file with the shortest name is the usual one."""
    files = sorted(folder.glob("*.safetensors"), key=lambda file: (len(file.name), file.name))
    first = files[0].name if files else ""
    pieces = [file for file in files if "-of-" in file.name] if "-of-" in first else files[:1]
    return {name: shape for file in pieces for name, shape in _header(file).items()}


def _header(path: Path) -> dict[str, Shape]:
    if path.suffix != ".safetensors":
        return {}
    entries = detect.read_header(path)
    return {name: tuple(entry["shape"]) for name, entry in entries.items() if name != "__metadata__"}


def _part(name: str, shapes: Mapping[str, Shape]) -> Part:
    count = sum(math.prod(shape) for shape in shapes.values())
    if name == "unet":
        return _unet(count, shapes)
    if name == "vae":
        levels = {match[1] for key in shapes if (match := VAE_LEVEL.match(key))}
        return Part(count, depth=len(levels))
    return _text_encoder(count, shapes)


def _unet(count: int, shapes: Mapping[str, Shape]) -> Part:
    weights = {key: shape for key, shape in shapes.items() if key.endswith(".weight") and len(shape) > 1}
    attention = [shape for key, shape in weights.items() if ATTENTION.search(key)]
    around = [shape for key, shape in weights.items() if not ATTENTION.search(key) and not key.startswith(EDGES)]
    first = shapes.get("conv_in.weight") or shapes.get("input_blocks.0.0.weight") or (0,)
    return Part(count, first[0], 0, _layers(attention), _layers(around))


def _layers(shapes: Iterable[Shape]) -> Layers:
    flat: list[tuple[int, int]] = []
    square: list[tuple[int, int]] = []
    for shape in shapes:
        (square if math.prod(shape[2:]) > 1 else flat).append((shape[1], shape[0]))
    return Layers(tuple(flat), tuple(square))


def _text_encoder(count: int, shapes: Mapping[str, Shape]) -> Part:
    """OpenCLIP keeps query, key and value in one tensor."""
    flat: list[tuple[int, int]] = []
    depth = 0
    for key, shape in shapes.items():
        found = TEXT_LAYER.search(key.replace("in_proj_weight", "in_proj.weight"))
        if found and len(shape) == 2:
            depth = max(depth, int(found[2]) + 1)
            is_joined = "in_proj" in key
            flat += [(shape[1], shape[0] // 3)] * 3 if is_joined else [(shape[1], shape[0])]
    return Part(count, flat[0][0] if flat else 0, depth, Layers(tuple(flat)))


# What the families hold, for models whose files can't be looked into beforehand.


def _encoder(count: int, width: int, depth: int) -> Part:
    """A CLIP text encoder: four square matrices and two of the feed-forward net a layer."""
    layer = [(width, width)] * 4 + [(width, 4 * width), (4 * width, width)]
    return Part(count, width, depth, Layers(tuple(layer * depth)))


def _block(width: int, text: int, cross: bool = True) -> list[tuple[int, int]]:
    """The linear layers of a transformer block."""
    own, other = [(width, width)] * 4, [(width, width), (text, width), (text, width), (width, width)]
    return [*own, *(other if cross else own), (width, 8 * width), (4 * width, width)]


def _attention(levels: Mapping[int, tuple[int, int]], text: int) -> Layers:
    """levels: width -> (transformers, blocks in each)."""
    flat: list[tuple[int, int]] = []
    for width, (transformers, blocks) in levels.items():
        flat += ([(width, width)] * 2 + _block(width, text) * blocks) * transformers
    return Layers(tuple(flat))


_FAMILIES: dict[str, dict[str, Part]] = {
    "sd1": {
        "unet": Part(859_520_964, 320, 0, _attention({320: (5, 1), 640: (5, 1), 1280: (6, 1)}, 768)),
        "text_encoder": _encoder(123_060_480, 768, 12),
        "vae": VAE,
    },
    "sd2": {
        "unet": Part(865_910_724, 320, 0, _attention({320: (5, 1), 640: (5, 1), 1280: (6, 1)}, 1024)),
        "text_encoder": _encoder(340_387_840, 1024, 23),
        "vae": VAE,
    },
    "sdxl": {
        "unet": Part(2_567_463_684, 320, 0, _attention({640: (5, 2), 1280: (6, 10)}, 2048)),
        "text_encoder": _encoder(123_060_480, 768, 12),
        "text_encoder_2": _encoder(694_659_840, 1280, 32),
        "vae": VAE,
    },
}


def of_family(family: str) -> Sizes:
    return Sizes(_FAMILIES.get(family, _FAMILIES["sd1"]), exact=False)
