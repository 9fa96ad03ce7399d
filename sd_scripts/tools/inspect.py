"""What is in a network file: kind, ranks, blocks, hashes, and how it was trained."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..adapters import kind_of
from ..adapters.hashes import file_hashes
from ..errors import UserError
from ..families import detect
from ..families.tensor_file import TensorFile
from ..words.files import ONE, PARTS
from .convert import PEFT_DOWN, from_diffusers, is_diffusers
from .networks import ALPHA, DOWN, PREFIXES, Network, family_of_metadata, family_of_tensors, open_file
from .progress import amount
from .settings import InspectSettings
from .strengths import BASE, LISTS, place_of
from .tool import Say

TRAINING = (
    "ss_output_name", "ss_sd_model_name", "ss_base_model_version", "ss_network_module", "ss_network_dim",
    "ss_network_alpha",
    "ss_network_args", "ss_steps", "ss_epoch", "ss_learning_rate", "ss_unet_lr", "ss_text_encoder_lr", "ss_optimizer",
    "ss_lr_scheduler", "ss_batch_size_per_device", "ss_resolution", "ss_num_train_images", "ss_seed",
    "ss_mixed_precision",
    "ss_training_comment",
)  # fmt: skip
"""The fields that most people look for, in the order in which they are shown."""
BELOW = (DOWN, "hada_w1_b", "lokr_w2_b", "lokr_w1_b")
"""Tensors that have the rank first."""


@dataclass(frozen=True)
class Module:
    """A network's share in one layer. rank, alpha: None for kinds that have none."""

    kind: str
    rank: int | None
    alpha: float | None


def run(settings: InspectSettings, say: Say) -> None:
    file = open_file(settings.file, "file")
    size = f"{file.path.stat().st_size / 1e6:,.1f} MB"
    say(f"{file.path.name}: {amount(len(file.entries), 'tensor')}, {size}, {_dtypes(file)}")
    if is_diffusers(file):
        _renamed(file, say)
    elif any(name.startswith(PREFIXES) for name in file.entries):
        network = Network(file)
        _modules({name: _module(network, name) for name in network.modules}, _family(network), say)
    else:
        say(f"Kind: {_other_kind(file)}")
    short, whole = file_hashes(file.path.resolve())
    say(f"Hashes: {whole[:10]} (SHA-256 {whole}), short {short}")
    for key in ("sshs_model_hash", "sshs_legacy_hash"):
        if key in file.metadata:
            say(f"{key}: {file.metadata[key]}")
    _training(file.metadata, say)
    if settings.show_all_metadata:
        for key, value in sorted(file.metadata.items()):
            say(f"  {key} = {value}")


def _dtypes(file: TensorFile) -> str:
    return ", ".join(sorted({str(entry.dtype).removeprefix("torch.") for entry in file.entries.values()}))


def _other_kind(file: TensorFile) -> str:
    """Of a file that is no network."""
    words = {name: entry.shape for name, entry in file.entries.items() if name in (ONE, *PARTS.values())}
    if words:
        sizes = (f"{name}: {shape[0]} vectors of {shape[-1]}" for name, shape in words.items())
        return f"textual inversion ({', '.join(sizes)})"
    try:
        return f"a whole model ({detect.family_of_names(file.entries, file.path)})"
    except UserError:
        return f"not known; its first tensor is {next(iter(file.entries), 'none')}"


def _renamed(file: TensorFile, say: Say) -> None:
    """A network in the layout of diffusers or PEFT, as it is in sd-scripts' names."""
    halves = sum(bool(PEFT_DOWN.search(name)) for name in file.entries)
    say(f"Layout: diffusers or PEFT, {amount(halves, 'module')}")
    try:
        found, family = from_diffusers(file, "file")
    except UserError as error:
        say(f"Blocks and ranks can't be told: {error}")
        return
    _modules({name: Module("Lora", each.rank, each.scale * each.rank) for name, each in found.items()}, family, say)


def _modules(modules: Mapping[str, Module], family: str, say: Say) -> None:
    kinds = Counter(module.kind for module in modules.values())
    say("Kind: " + ", ".join(f"{kind} ({amount(count, 'module')})" for kind, count in kinds.most_common()))
    say(f"For: {family}")
    parts: dict[str, list[Module]] = defaultdict(list)
    blocks: dict[str, list[Module]] = defaultdict(list)
    for name, module in modules.items():
        parts[_part(name)].append(module)
        blocks[place_of(name)].append(module)
    for part, members in sorted(parts.items()):
        say(f"{part}: {amount(len(members), 'module')}{_sizes(members)}")
    for place in (place for place in LISTS[max(LISTS)] if place != BASE and place in blocks):
        say(f"  block {place}: {amount(len(blocks[place]), 'module')}{_sizes(blocks[place])}")


def _family(network: Network) -> str:
    tensors, noted = family_of_tensors(network), family_of_metadata(network.metadata)
    if tensors and noted and tensors != noted:
        return f"{tensors}, by its names and shapes; its metadata says {noted}"
    if tensors or noted:
        return f"{tensors or noted}, by its {'names and shapes' if tensors else 'metadata'}"
    return "a model that neither its names and shapes nor its metadata tell"


def _module(network: Network, name: str) -> Module:
    """Its kind by the names of the tensors alone."""
    entries = network.modules[name]
    kind = kind_of(name, {rest: network.file.get(f"{name}.{rest}") for rest in entries}).__name__
    below = next((rest for rest in BELOW if rest in entries), None)
    return Module(
        f"{kind} with DoRA" if "dora_scale" in entries else kind,
        entries[below].shape[0] if below else None,
        float(network.file.get(f"{name}.{ALPHA}")) if below and ALPHA in entries else None,
    )


def _part(name: str) -> str:
    return {"unet": "U-Net", "te": "Text encoder", "te1": "Text encoder 1", "te2": "Text encoder 2"}.get(
        name.split("_")[1], "Other"
    )


def _sizes(modules: Iterable[Module]) -> str:
    """`, rank 4, alpha 2`, with every value that occurs; nothing for kinds that have no such factor."""
    ranks = sorted({module.rank for module in modules if module.rank is not None})
    alphas = sorted({module.alpha for module in modules if module.alpha is not None})
    text = f", rank {', '.join(map(str, ranks))}" if ranks else ""
    return text + (f", alpha {', '.join(f'{alpha:g}' for alpha in alphas)}" if alphas else "")


def _training(metadata: Mapping[str, str], say: Say) -> None:
    known = {key: metadata[key] for key in TRAINING if metadata.get(key, "None") not in ("None", "{}")}
    if not known:
        say("Training: the file does not say how it was made.")
        return
    say("Training:")
    for key, value in known.items():
        say(f"  {key.removeprefix('ss_')}: {value}")
    tags = most_frequent(metadata.get("ss_tag_frequency", ""))
    if tags:
        say(f"  most frequent tags: {', '.join(f'{tag} ({count})' for tag, count in tags)}")


def most_frequent(text: str, most: int = 10) -> list[tuple[str, int]]:
    """The tags of `ss_tag_frequency` over all folders."""
    try:
        folders = json.loads(text)
    except ValueError:
        return []
    total: Counter[str] = Counter()
    for tags in folders.values():
        total.update(tags)
    return total.most_common(most)
