"""A network's settings in others' words: sd-scripts' `network_args`, and what a preset of LyCORIS says of layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from .network_kinds import LYCORIS_MODULE
from .schema import Notice, Parameter, Problem, did_you_mean, parameters

if TYPE_CHECKING:
    from .network import NetworkConfig

FLAGS = (
    "network_module", "network_dim", "network_alpha", "network_dropout", "network_args", "network_weights",
    "dim_from_weights", "network_train_unet_only", "network_train_text_encoder_only", "base_weights",
    "base_weights_multiplier", "scale_weight_norms",
)  # fmt: skip
"""Settings that have a flag of their own in sd-scripts. All others of the section can stand in `network_args`."""

SAME_RESULT = {
    "bypass_mode": "Weights are never overwritten here, so the result is the same with and without it.",
    "train_t5xxl": "It is of models with a T5 text encoder, which none of these is.",
    "train_llm_adapter": "It is of Anima models.",
    "verbose": "What is trained is always told.",
}
"""Arguments that people copy from elsewhere and that change nothing here -> why."""

OPPOSITE = {"disable_conv_cp": "use_tucker"}
"""Older arguments that turn off what others turn on."""

IN_PRESETS = {"dim": "network_dim", "alpha": "network_alpha"}
"""What presets call settings that have a flag in sd-scripts."""


@cache
def declared() -> dict[str, Parameter]:
    from .network import NetworkConfig

    return parameters(NetworkConfig)


@cache
def _present_names() -> dict[str, str]:
    return {alias: key for key, parameter in declared().items() for alias in parameter.aliases}


def split(word: str) -> tuple[str, str]:
    """A word's key, under its present name, and value."""
    key, _, value = word.partition("=")
    key = key.strip()
    return _present_names().get(key, key), value.strip().strip("'\"")


def given(words: Iterable[str]) -> dict[str, str]:
    return {key: value for key, value in map(split, words) if key not in SAME_RESULT}


def algorithm(words: Iterable[str]) -> str | None:
    """Needed before the words can be checked, and without what the section declares."""
    values = (word.partition("=")[2] for word in words if word.partition("=")[0].strip() == "algo")
    return next((value.strip().strip("'\"") for value in values), None)


def names(kind: str | None) -> list[str]:
    """What `network_args` may set for a kind of network: the settings that apply to it and have no flag of their
    own."""
    return [
        key
        for key, parameter in declared().items()
        if (key not in FLAGS or parameter.aliases)
        and (kind is None or kind in (parameter.applies_to.adapters or (kind,)))
    ]


def idle(network: NetworkConfig) -> dict[str, object]:
    """Settings that have no effect on any of the network's kinds -> their defaults."""
    return {
        key: parameter.default
        for key, parameter in declared().items()
        if key not in (*FLAGS, "algo")
        and getattr(network, key) != parameter.default
        and _missing(parameter, network.kinds)
    }


def _missing(parameter: Parameter, kinds: Iterable[str | None]) -> str | None:
    reasons = [parameter.applies_to.missing("", "lora", kind) for kind in kinds]
    return reasons[0] if all(reasons) else None


def problems(network: NetworkConfig) -> Iterator[Problem]:
    """What is wrong with the words themselves."""
    seen: set[str] = set()
    for word in network.network_args:
        key, value = split(word)
        if "=" not in word:
            yield Problem("network_args", f"{word!r} is not of the form key=value.")
        elif key in SAME_RESULT:
            yield Notice("network_args", f"{key} has no effect. {SAME_RESULT[key]}")
        elif key in OPPOSITE:
            yield Problem("network_args", f"{key} is the opposite of {OPPOSITE[key]}; give that one.")
        elif key not in names(None):
            yield Problem("network_args", f"This network has no setting {key!r}.{_hint(key, names(network.kind))}")
        elif key in seen:
            yield Problem("network_args", f"It has {key} twice; keep one of them.")
        else:
            yield from _value_problems(network, key, value)
        seen.add(key)


def _hint(key: str, known: list[str]) -> str:
    return did_you_mean(key, known, f" There is: {', '.join(known)}.")


def _value_problems(network: NetworkConfig, key: str, value: str) -> Iterator[Problem]:
    try:
        read = getattr(type(network).model_validate({key: value}), key)
    except ValidationError as error:
        yield Problem("network_args", f"{key}={value}: {reason(error)}.")
        return
    parameter, own = declared()[key], getattr(network, key)
    if own not in (parameter.default, read):
        yield Problem(key, f"It is {own} here and {value} in network_args; keep one of them.")
    missing = _missing(parameter, network.kinds)
    if missing and read != parameter.default:
        yield Notice("network_args", f"{key} {missing}.")


def reason(error: ValidationError) -> str:
    message = error.errors()[0]["msg"]
    return message[0].lower() + message[1:]


def of_layer(network: NetworkConfig, own: Mapping[str, Any]) -> NetworkConfig:
    """The network with what a preset's file says of one layer. A rank there is for any layer, also for a 3x3
    convolution; a block that is left out stays so.

    Raises ValidationError.
    """
    settings = {_in_preset(key): value for key, value in own.items() if key not in SAME_RESULT}
    if "algo" in settings:
        settings["network_module"] = LYCORIS_MODULE
    if "network_dim" in settings:
        rank = settings["network_dim"]
        settings |= {"conv_dim": rank, "preset": None}
        for key in ("block_dims", "conv_block_dims"):
            settings[key] = tuple(rank if one else 0 for one in getattr(network, key))
    if "network_alpha" in settings:
        settings |= {"conv_alpha": settings["network_alpha"], "block_alphas": (), "conv_block_alphas": ()}
    return type(network).model_validate({**network.model_dump(), **settings})


def _in_preset(key: str) -> str:
    return IN_PRESETS.get(key) or _present_names().get(key, key)


def layer_problems(network: NetworkConfig, where: str, own: Mapping[str, Any]) -> Iterator[Problem]:
    """where: the layers' name or class in the preset's file."""
    where = f"{network.preset}: {where}"
    for key in own:
        if key not in SAME_RESULT and _in_preset(key) not in (*OF_LAYERS, *IN_PRESETS.values()):
            hint = _hint(key, [*IN_PRESETS, *OF_LAYERS])
            yield Problem("preset", f"{where} has {key!r}, which no layer can have.{hint}")
            return
    try:
        of_layer(network, own)
    except ValidationError as error:
        key = str(error.errors()[0]["loc"][0])
        named = next((short for short, long in IN_PRESETS.items() if long == key), key)
        yield Problem("preset", f"{where}: {named}={own.get(named)}: {reason(error)}.")


OF_LAYERS = (
    "algo", "network_dropout", "rank_dropout", "rank_dropout_scale", "module_dropout", "use_tucker", "use_scalar",
    "rs_lora", "dora_wd", "wd_on_output", "factor", "decompose_both", "full_matrix", "unbalanced_factorization",
    "train_on_input", "unit", "constraint", "rescaled",
)  # fmt: skip
"""Settings that layers can have of their own."""
