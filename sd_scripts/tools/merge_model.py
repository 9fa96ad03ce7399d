"""Merges networks into a model, tensor by tensor: no more than one of its tensors is in memory at a time."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from torch import Tensor

from ..errors import UserError
from ..families.tensor_file import TensorFile, check_room, sizes, write
from .networks import Network, words
from .places import Model, Place, open_model
from .progress import Progress
from .settings import MergeSettings
from .strengths import Strength
from .tool import Say

Merges = dict[tuple[Path, str], list[tuple[Place, str]]]
"""File and tensor -> the weights in it that networks change, and the names of their modules."""
NAMED = 3


class Merger:
    """Adds what networks change to a model's tensors as these are asked for."""

    def __init__(self, model: Model, networks: Sequence[Network], given: Sequence[Strength], say: Say) -> None:
        """Raises UserError where the networks are for another model."""
        self.networks = list(zip(networks, given, strict=True))
        self.progress = Progress(say, sum(len(file.entries) for file in model.files))
        self.merges: Merges = defaultdict(list)
        self.unknown = {
            network.path.name: [name for name in network.modules if not model.place(name)] for network in networks
        }
        for network in networks:
            if len(self.unknown[network.path.name]) == len(network.modules):
                raise UserError(
                    f"models: {network.path} is for another kind of model than {model.path}; none of its modules is "
                    "in it."
                )
        for name in dict.fromkeys(name for network in networks for name in network.modules):
            place = model.place(name)
            if place:
                self.merges[place.file.path, place.key].append((place, name))
                self._note_bias(model, name)
                for network in networks:
                    if name in network.modules and network.is_lora(name):  # before anything is written
                        _check_shape(network, name, network.weight_shape(name), place.shape)

    def _note_bias(self, model: Model, name: str) -> None:
        place = model.bias(name)
        if place and any(name in network.modules and network.changes_bias(name) for network, _ in self.networks):
            self.merges[place.file.path, place.key].append((place, name))

    def tensor(self, file: TensorFile, key: str) -> Tensor:
        """The model's tensor with everything that the networks add to it, in its own dtype or float32 where something
        was."""
        self.progress.step()
        tensor = file.get(key)
        wanted = self.merges.get((file.path, key))
        if not wanted:
            return tensor
        tensor = tensor.float()
        for place, name in wanted:
            self._add(place.part(tensor), name, key.endswith("bias"))
        return tensor

    def _add(self, weight: Tensor, name: str, is_bias: bool) -> None:
        before = weight.clone()  # what every network starts from, in whatever order they come
        for network, strength in self.networks:
            ratio = strength.of(name)
            if name not in network.modules or not ratio:
                continue
            delta = network.bias(name) if is_bias else self._delta(network, name, before)
            if delta is not None:
                _check_shape(network, name, tuple(delta.shape), tuple(weight.shape))
                weight.add_(delta.float().reshape(weight.shape), alpha=ratio)

    @staticmethod
    def _delta(network: Network, name: str, weight: Tensor) -> Tensor:
        if not network.is_lora(name):
            return network.delta(name, weight)
        factors = network.factors(name)
        return (factors.up_OR @ factors.down_RI).mul_(factors.scale)


def _check_shape(network: Network, name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if math.prod(found) != math.prod(wanted) or found[0] != wanted[0]:
        raise UserError(
            f"models: {network.path} is for another model: {name} is for a weight of {words(found)} there and of "
            f"{words(wanted)} in the model."
        )


def merge_into_model(settings: MergeSettings, networks: Sequence[Network], given: Sequence[Strength], say: Say) -> None:
    model = open_model(settings.sd_model or "", "sd_model")
    merger = Merger(model, networks, given, say)
    for name, unknown in merger.unknown.items():
        if unknown:
            say(
                f"Note: {name} has {len(unknown)} modules that the model does not have, such as "
                f"{', '.join(unknown[:NAMED])}."
            )
    save_to = Path(settings.save_to).expanduser()
    added = {} if settings.no_metadata else _origin(networks, save_to)
    if model.is_folder:
        _write_folder(model, merger, save_to, settings.save_precision, added)
    else:
        _write_file(model.files[0], merger, save_to, settings.save_precision, added)
    layers = sum(len(found) for found in merger.merges.values())
    say(
        f"Saved {save_to}: {len(networks)} network{'s' * (len(networks) > 1)} merged into {layers} layers of "
        f"{model.path.name}."
    )


def _origin(networks: Sequence[Network], save_to: Path) -> dict[str, str]:
    return {
        "modelspec.title": save_to.stem,
        "modelspec.date": datetime.fromtimestamp(int(time.time())).isoformat(),
        "modelspec.merged_from": ", ".join(network.path.stem for network in networks),
    }


def _write_file(
    file: TensorFile, merger: Merger, save_to: Path, precision: str | None, added: Mapping[str, str]
) -> None:
    """Raises UserError where the new file would not be a .safetensors file."""
    if save_to.suffix != ".safetensors":
        raise UserError(
            f"save_to: {save_to} does not end in .safetensors, the only format that models are written in; add that "
            "ending."
        )
    metadata = {key: value for key, value in file.metadata.items() if key != "modelspec.hash_sha256"}
    entries = {name: entry.saved_as(precision) for name, entry in file.entries.items()}
    write(save_to, entries, partial(merger.tensor, file), {**metadata, **added})


def _write_folder(model: Model, merger: Merger, save_to: Path, precision: str | None, added: Mapping[str, str]) -> None:
    """The folder is made beside its place and renamed. Raises UserError where something is at its place."""
    if save_to.exists() and (not save_to.is_dir() or any(save_to.iterdir())):
        raise UserError(
            f"save_to: {save_to} is there already; name a folder that is not, since the model is saved as a folder."
        )
    check_room(
        save_to, sum(sizes(entry.saved_as(precision) for entry in file.entries.values()) for file in model.files)
    )
    temporary = save_to.absolute().with_name(f".{save_to.name}.{os.getpid()}.part")
    try:
        shutil.copytree(model.path, temporary, ignore=lambda folder, names: _weights(model, Path(folder), names))
        for file in model.files:
            entries = {name: entry.saved_as(precision) for name, entry in file.entries.items()}
            target = temporary / file.path.relative_to(model.path)
            write(target, entries, partial(merger.tensor, file), {**file.metadata, **added})
        _correct_indexes(temporary)
        if save_to.exists():
            save_to.rmdir()
        temporary.replace(save_to)
    except OSError as error:
        raise UserError(
            f"save_to: {save_to} could not be written ({error.strerror or error}); check that its folder can be."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _weights(model: Model, folder: Path, names: Sequence[str]) -> list[str]:
    """Of a folder's files, those that are written anew, and pickled copies of the same weights, which would be
    stale."""
    merged = {file.path.name for file in model.files if file.path.parent == folder}
    return [name for name in names if name in merged or (merged and name.endswith(".bin"))]


def _correct_indexes(folder: Path) -> None:
    """The index of a model in several files tells their size, which another precision changes."""
    for index in folder.glob("*/*.safetensors.index.json"):
        content = json.loads(index.read_text(encoding="utf-8"))
        files = [TensorFile(index.parent / name) for name in sorted(set(content["weight_map"].values()))]
        content["metadata"] = {
            **content.get("metadata", {}),
            "total_size": sum(sizes(file.entries.values()) for file in files),
        }
        index.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
