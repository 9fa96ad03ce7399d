"""Network files as the tools see them: modules by name, whose tensors are read when they are wanted.

Shapes: R rank, O and I a layer's outputs and inputs (of a 3x3 convolution, its inputs times 9).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..adapters import kind_of
from ..adapters.io import DTYPES as PRECISIONS
from ..errors import UserError
from ..families.tensor_file import Entry, TensorFile

DOWN, UP, ALPHA = "lora_down.weight", "lora_up.weight", "alpha"
DIFFUSERS_SIGNS = (".lora_A.", ".lora_B.", ".lora.down.", ".lora.up.", "_lora.down.", "_lora.up.", "lora_linear_layer.")
NOTED = {
    "sd_v1": "sd1", "sd_v2": "sd2", "sdxl_": "sdxl",
    "stable-diffusion-v1": "sd1", "stable-diffusion-v2": "sd2", "stable-diffusion-xl": "sdxl",
}  # fmt: skip
"""How the values of the metadata that name a base model begin -> its family."""
OTHER = "another kind of model than Stable Diffusion"
OURS = re.compile(r"(lora|oft)_(te|unet_(down|up|mid|input|middle|output|time|add|label|conv|out)_)")
"""How modules for Stable Diffusion are named."""
PREFIXES = tuple(f"{kind}_{part}_" for kind in ("lora", "oft") for part in ("unet", "te", "te1", "te2"))


@dataclass(frozen=True)
class Factors:
    """A module that adds scale * up @ down to a layer's weight. kernel: the down tensor's shape without the rank."""

    up_OR: Tensor
    down_RI: Tensor
    scale: float
    kernel: tuple[int, ...]

    @property
    def rank(self) -> int:
        return len(self.down_RI)

    def tensors(self) -> dict[str, Tensor]:
        """As files hold them. The alpha is scale * rank."""
        tail = (1,) * (len(self.kernel) - 1)
        return {
            DOWN: self.down_RI.reshape(self.rank, *self.kernel),
            UP: self.up_OR.reshape(*self.up_OR.shape, *tail),
            ALPHA: torch.tensor(self.scale * self.rank),
        }


class Network:
    """A network file with sd-scripts' names. modules: module name -> what its tensors are called -> dtype and shape."""

    def __init__(self, file: TensorFile) -> None:
        self.file = file
        self.path = file.path
        self.metadata = file.metadata
        self.modules: dict[str, dict[str, Entry]] = {}
        for name, entry in file.entries.items():
            module, _, rest = name.partition(".")
            self.modules.setdefault(module, {})[rest] = entry

    def tensors(self, module: str) -> dict[str, Tensor]:
        return {rest: self.file.get(f"{module}.{rest}") for rest in self.modules[module]}

    def is_lora(self, module: str) -> bool:
        return set(self.modules[module]) <= {DOWN, UP, ALPHA} and {DOWN, UP} <= set(self.modules[module])

    def is_spatial(self, module: str) -> bool:
        """Whether the module is for a convolution that sees more than one place."""
        entry = self.modules[module].get(DOWN)
        return entry is not None and len(entry.shape) == 4 and entry.shape[2:] != (1, 1)

    def weight_shape(self, module: str) -> tuple[int, ...]:
        """Of the weight that a LoRA module is for."""
        up, down = self.modules[module][UP].shape, self.modules[module][DOWN].shape
        return (up[0], *down[1:])

    def factors(self, module: str) -> Factors:
        """In float32. Raises UserError where the module is not a plain LoRA."""
        if not self.is_lora(module):
            raise UserError(
                f"{self.path}: {module} is not a LoRA but holds {', '.join(sorted(self.modules[module]))}; merge it "
                "with svd_merge_lora first."
            )
        tensors = self._sound_tensors(module)
        down, up = tensors[DOWN].float(), tensors[UP].float()
        rank = down.shape[0]
        if up.shape[1] != rank:
            raise UserError(
                f"{self.path} is damaged: {module} has {rank} ranks below and {up.shape[1]} above; get it again."
            )
        scale = float(tensors[ALPHA]) / rank if ALPHA in tensors else 1.0
        return Factors(up.flatten(1), down.flatten(1), scale, tuple(down.shape[1:]))

    def delta(self, module: str, weight: Tensor | None = None) -> Tensor:
        """What the module adds to its layer's weight, in float32, whatever kind it is of.

        Raises UserError where the kind is not known, or turns weights around and none is given.
        """
        tensors = self._sound_tensors(module)
        try:
            return kind_of(module, tensors).delta_in_file(tensors, weight)
        except ValueError:
            raise UserError(
                f"{self.path}: What {module} changes depends on the model's weights; merge it into a model instead."
            ) from None

    def _sound_tensors(self, module: str) -> dict[str, Tensor]:
        """Raises UserError where a number is not finite."""
        tensors = self.tensors(module)
        for rest, tensor in tensors.items():
            if not tensor.float().isfinite().all():
                raise UserError(
                    f"{self.path} is broken: {module}.{rest} holds numbers that are not finite; use an earlier file of "
                    "the training."
                )
        return tensors

    def bias(self, module: str) -> Tensor | None:
        """What the module adds to its layer's bias."""
        tensors = self.tensors(module)
        return kind_of(module, tensors).bias_in_file(tensors)

    def changes_bias(self, module: str) -> bool:
        return bool({"diff_b", "b_norm"} & set(self.modules[module]))

    @property
    def dtype(self) -> torch.dtype:
        """Of the first tensor that is not an alpha."""
        return next(
            entry.dtype for tensors in self.modules.values() for rest, entry in tensors.items() if rest != ALPHA
        )


def open_file(name: str, key: str) -> TensorFile:
    """Raises UserError, which names the setting `key`, where there is no such file."""
    path = Path(name).expanduser()
    if not path.is_file():
        raise UserError(f"{key}: There is no file {name}; check its spelling.")
    return TensorFile(path)


def open_network(name: str, key: str) -> Network:
    """Raises UserError, which names the setting `key`, where it is not a network file with sd-scripts' names."""
    file = open_file(name, key)
    if any(sign in tensor for tensor in file.entries for sign in DIFFUSERS_SIGNS):
        raise UserError(
            f"{key}: {name} is in the layout of diffusers; convert it with convert_lora --layout kohya first."
        )
    network = Network(file)
    if not network.modules or not all(module.startswith(PREFIXES) for module in network.modules):
        raise UserError(
            f"{key}: {name} is not a LoRA: its tensors are not named like those of one; choose another file."
        )
    for module, tensors in network.modules.items():
        missing = {DOWN, UP} - set(tensors)
        if len(missing) == 1:
            raise UserError(f"{key}: {name} is damaged: {module} has no {missing.pop()}; get it again.")
    return network


def open_networks(names: Sequence[str], key: str) -> list[Network]:
    """Raises UserError where two of them are for different kinds of models, or one for a kind that is not known."""
    networks = [open_network(name, key) for name in names]
    for network in networks:
        refuse_others(key, network.path, network.modules)
    versions = {base_family(network): network for network in networks}
    known = {family: network for family, network in versions.items() if family}
    if len(known) > 1:
        (first, one), (second, other) = list(known.items())[:2]
        raise UserError(
            f"{key}: {one.path} is for {first} and {other.path} for {second}; merge networks for the same kind of "
            "model."
        )
    return networks


def refuse_others(key: str, path: Path, modules: Iterable[str]) -> None:
    """Raises UserError, which names the setting `key`, where a module is none of Stable Diffusion's."""
    foreign = next((module for module in modules if not OURS.match(module)), None)
    if foreign:
        raise UserError(f"{key}: {path} is for {OTHER}: it has {foreign}; choose another file.")


def base_family(network: Network) -> str | None:
    """ "sd1", "sd2", "sdxl" or OTHER; None where neither the tensors nor the metadata tell."""
    return family_of_tensors(network) or family_of_metadata(network.metadata)


def family_of_tensors(network: Network) -> str | None:
    """From the names, or the width of the text that attention reads."""
    if not all(OURS.match(name) for name in network.modules):
        return OTHER
    if any(
        name.startswith(("lora_te1_", "lora_te2_", "lora_unet_input_", "lora_unet_output_", "lora_unet_middle_"))
        for name in network.modules
    ):
        return "sdxl"
    widths = [
        tensors[DOWN].shape[1]
        for name, tensors in network.modules.items()
        if name.endswith("attn2_to_k") and DOWN in tensors
    ]
    return {768: "sd1", 1024: "sd2", 2048: "sdxl"}.get(widths[0]) if widths else None


def family_of_metadata(metadata: Mapping[str, str]) -> str | None:
    """From sd-scripts' record of the training, or ModelSpec."""
    noted = (metadata.get("ss_base_model_version", ""), metadata.get("modelspec.architecture", ""))
    return next((family for sign, family in NOTED.items() if any(text.startswith(sign) for text in noted)), None)


def saved_dtype(precision: str | None, otherwise: torch.dtype) -> torch.dtype:
    return PRECISIONS[precision] if precision else otherwise


def check_shapes(module: str, files: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> None:
    """shapes: of the weight that the module is for in each file. Raises UserError where they differ."""
    for file, shape in zip(files, shapes, strict=True):
        if shape != shapes[0]:
            raise UserError(
                f"models: {module} is for a weight of {words(shapes[0])} in {files[0]} and of {words(shape)} in "
                f"{file}; "
                "merge networks for the same kind of model."
            )


def words(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
