"""Where in a model's files the layers lie that networks are for.

Names of modules are sd-scripts': `lora_unet_`, `lora_te_` (SDXL: `lora_te1_`, `lora_te2_`) and the layer's path with
underscores. For SD 1.x and 2.x it is the path in diffusers, for SDXL's U-Net the one in the original layout; a network
for SDXL with diffusers' paths is understood too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..errors import UserError
from ..families import configs, detect
from ..families.names import ldm
from ..families.names.tables import Names, renamed, reverse, under
from ..families.sources import locate
from ..families.tensor_file import TensorFile

UNET, TEXT, TEXT_1, TEXT_2 = "lora_unet_", "lora_te_", "lora_te1_", "lora_te2_"
TEXTS = (TEXT, TEXT_1, TEXT_2)
OPENCLIP = {"attn.out_proj": "self_attn_out_proj", "mlp.c_fc": "mlp_fc1", "mlp.c_proj": "mlp_fc2"}
ORIGINAL_TEXTS = {
    "sd1": {"cond_stage_model.transformer.": TEXT},
    "sd2": {"cond_stage_model.model.": TEXT},
    "sdxl": {"conditioner.embedders.0.transformer.": TEXT_1, "conditioner.embedders.1.model.": TEXT_2},
}
PROJECTIONS = ("proj_in", "proj_out")

PLAIN_LAYER = re.compile(
    r"lora_unet_.*(proj_in|proj_out|transformer_blocks_\d+_(attn[12]_to_(q|k|v|out_0)|ff_net_0_proj|ff_net_2))"
    r"|lora_te[12]?_text_model_encoder_layers_\d+_(self_attn_(q|k|v|out)_proj|mlp_fc[12])"
)
CONVOLUTION_LAYER = re.compile(
    r"lora_unet_.*(resnets_\d+_(conv1|conv2|conv_shortcut|time_emb_proj)|(down|up)samplers_0_conv"
    r"|in_layers_2|out_layers_3|emb_layers_1|skip_connection|_0_op|_[12]_conv)"
)


@dataclass(frozen=True)
class Place:
    """A layer's weight: the file and tensor it lies in, and which of the tensor's thirds it is where three are joined
    in one."""

    file: TensorFile
    key: str
    third: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        rows, *rest = self.file.entries[self.key].shape
        return (rows if self.third is None else rows // 3, *rest)

    def part(self, tensor: Tensor) -> Tensor:
        """The weight in its tensor, sharing memory with it."""
        return tensor if self.third is None else tensor.chunk(3)[self.third]

    def weight(self) -> Tensor:
        return self.part(self.file.get(self.key))


@dataclass(frozen=True)
class Model:
    """layers: module name -> place. other_names: further names for the same layers. files: all that hold tensors."""

    path: Path
    family: str
    files: tuple[TensorFile, ...]
    layers: Mapping[str, Place]
    other_names: Mapping[str, str]

    @property
    def is_folder(self) -> bool:
        return self.path.is_dir()

    def place(self, module: str) -> Place | None:
        """Of the weight that a module is for, by the module's name in a network file."""
        module = module.replace("oft_", "lora_", 1) if module.startswith("oft_") else module
        return self.layers.get(self.other_names.get(module, module))

    def bias(self, module: str) -> Place | None:
        place = self.place(module)
        key = place.key.removesuffix("weight") + "bias" if place else ""
        return Place(place.file, key, place.third) if place and key in place.file.entries else None


def open_model(name: str, key: str) -> Model:
    """Raises UserError, which names the setting `key`, where there is no model of a known kind."""
    path = locate(name, key)
    found = detect.detect(path)
    if path.is_dir():
        return _open_folder(path, found.family or "sd1", key)
    file = TensorFile(path)
    family = found.family or _family_of_pickle(file)
    layers = dict(_original_layers(file, family))
    return Model(path, family, (file,), layers, _diffusers_names(file, family))


def _family_of_pickle(file: TensorFile) -> str:
    for sign, family in detect.SIGNS:
        if any(name.startswith(sign) for name in file.entries):
            return family
    raise UserError(f"{file.path} is not a Stable Diffusion model; give a complete checkpoint.")


def _original_layers(file: TensorFile, family: str) -> Iterator[tuple[str, Place]]:
    names = {} if family == "sdxl" else reverse(_unet_names(file))
    for key in file.entries:
        path, _, kind = key.rpartition(".")
        if key.startswith(ldm.UNET) and kind == "weight":
            own = path[len(ldm.UNET) :]
            yield UNET + (renamed(own, names) or own).replace(".", "_"), Place(file, key)
        for start, prefix in ORIGINAL_TEXTS[family].items():
            if key.startswith(start):
                yield from _text_layers(file, key, key[len(start) :], prefix)


def _unet_names(file: TensorFile) -> Names:
    shapes = {name: entry.shape for name, entry in under(ldm.UNET, file.entries).items()}
    return ldm.unet_names(
        configs.unet_config(shapes, "sd1")
    )  # of any family: only the kinds of blocks are read from it


def _diffusers_names(file: TensorFile, family: str) -> dict[str, str]:
    """For SDXL: the U-Net's names by diffusers' paths -> those by original paths."""
    if family != "sdxl":
        return {}
    back = reverse(_unet_names(file))
    paths = [key.removesuffix(".weight") for key in under(ldm.UNET, file.entries) if key.endswith(".weight")]
    return {
        UNET + theirs.replace(".", "_"): UNET + path.replace(".", "_")
        for path in paths
        if (theirs := renamed(path, back))
    }


def _text_layers(file: TensorFile, key: str, inside: str, prefix: str) -> Iterator[tuple[str, Place]]:
    """A tensor of a text encoder: CLIP's (with or without its `text_model` level), or OpenCLIP's."""
    inside = inside.removeprefix("text_model.")
    clip = re.fullmatch(r"(encoder\.layers\.\d+\..+)\.weight", inside)
    openclip = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+?)(\.weight|_weight)", inside)
    if clip:
        yield f"{prefix}text_model_{clip[1].replace('.', '_')}", Place(file, key)
    elif openclip and openclip[2] == "attn.in_proj":
        for third, letter in enumerate("qkv"):
            yield f"{prefix}text_model_encoder_layers_{openclip[1]}_self_attn_{letter}_proj", Place(file, key, third)
    elif openclip and openclip[2] in OPENCLIP:
        yield f"{prefix}text_model_encoder_layers_{openclip[1]}_{OPENCLIP[openclip[2]]}", Place(file, key)


def _open_folder(path: Path, family: str, key: str) -> Model:
    parts = {"unet": UNET, "text_encoder": TEXT_1 if family == "sdxl" else TEXT, "text_encoder_2": TEXT_2}
    files: list[TensorFile] = []
    layers: dict[str, Place] = {}
    for part, prefix in parts.items():
        for file in tensor_files(path, part, key):
            files.append(file)
            layers |= dict(_folder_layers(file, part, prefix))
    if family != "sdxl":
        return Model(path, family, tuple(files), layers, {})
    names = ldm.unet_names(detect.read_json(path / "unet" / "config.json"))
    other = {name: _original_name(name, layers[name], names) for name in layers if name.startswith(UNET)}
    return Model(path, family, tuple(files), {other.get(name, name): place for name, place in layers.items()}, other)


def _original_name(name: str, place: Place, names: Names) -> str:
    path = renamed(place.key.removesuffix(".weight"), names)
    return UNET + path.replace(".", "_") if path else name


def tensor_files(folder: Path, part: str, key: str) -> list[TensorFile]:
    """The .safetensors files of a part of a diffusers folder. Raises UserError where it has pickled ones only."""
    inside = sorted((folder / part).glob("*.safetensors")) if (folder / part).is_dir() else []
    if not inside and list((folder / part).glob("*.bin")):
        raise UserError(
            f"{key}: {folder / part} holds its weights as .bin only; save the model with safetensors first."
        )
    return [TensorFile(file) for file in inside]


def _folder_layers(file: TensorFile, part: str, prefix: str) -> Iterator[tuple[str, Place]]:
    for key in file.entries:
        if part != "unet":
            yield from _text_layers(file, key, key, prefix)
        elif key.endswith(".weight"):
            yield prefix + key.removesuffix(".weight").replace(".", "_"), Place(file, key)


def is_target(module: str, convolutions: bool) -> bool:
    """Whether networks are trained for the layer; with `convolutions`, LoCon."""
    return bool(PLAIN_LAYER.fullmatch(module)) or (convolutions and bool(CONVOLUTION_LAYER.fullmatch(module)))


def stored_as_convolution(module: str, family: str) -> bool:
    """Whether files hold a linear layer's matrices as 1x1 convolutions, because it was one in SD 1.x."""
    return family != "sdxl" and module.startswith(UNET) and module.endswith(PROJECTIONS)
