from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from .schema import AppliesTo, Ge, Group, Gt, Le, Lt, Notice, Numbers, Problem, Ui, Words, parameters, split_numbers

KINDS = {"networks.lora": "lora"}
"""What can stand in `network_module` -> the kind of adapter. A `sd_scripts.` before it means the same."""

DOWN, MID, UP = 12, 1, 12
"""How many blocks of a Stable Diffusion U-Net lie on its way down, in the middle and on its way up."""

CURVES = ("sine", "cosine", "linear", "reverse_linear", "zeros")
"""Names that stand for a list of block weights."""

LORA = AppliesTo(methods=("lora",), adapters=("lora",))
ANY = AppliesTo(methods=("lora",))


def _one_text(value: object) -> object:
    """A list of numbers as the text `1, 0.5`, which is how block weights are kept: they may also be a curve's name."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


Integers = Annotated[tuple[int, ...], BeforeValidator(split_numbers)]
Weights = Annotated[str | None, BeforeValidator(_one_text)]


class NetworkConfig(Group):
    title: ClassVar[str] = "Network"

    network_module: Annotated[str, ANY, Ui(label="Network type", choices=tuple(KINDS), basic=True)] = "networks.lora"
    """The kind of network that is trained beside the model. networks.lora is LoRA, and LoCon where conv_dim is set."""

    network_dim: Annotated[int, Ge(1), ANY, Ui(label="Network rank", basic=True)] = 4
    """Rank: how much a LoRA can hold. 4 to 32 for most things; more makes a larger file that also learns what it should not."""

    network_alpha: Annotated[float, Gt(0), ANY, Ui(step=1, basic=True)] = 1.0
    """What is learned is scaled by alpha / rank. Usual values are 1, half the rank, and the rank; smaller needs higher rates."""

    conv_dim: Annotated[int | None, Ge(1), LORA, Ui(label="Convolution rank")] = None
    """Also train the U-Net's 3x3 convolutions, with this rank (LoCon). 1 to 16. Empty: they are left alone."""

    conv_alpha: Annotated[float, Gt(0), LORA, Ui(label="Convolution alpha", step=1)] = 1.0
    """Alpha of the 3x3 convolutions. It counts only where conv_dim or conv_block_dims is set."""

    network_dropout: Annotated[float, Ge(0), Lt(1), ANY, Ui(step=0.05)] = 0.0
    """Chance that one of a module's rank values is dropped for one place of the image. 0.1 to 0.5 against overfitting; 0 turns it off."""

    rank_dropout: Annotated[float, Ge(0), Lt(1), LORA, Ui(step=0.05)] = 0.0
    """Chance that a rank unit is dropped for a whole image. 0.1 to 0.3 is usual; 0 turns it off."""

    module_dropout: Annotated[float, Ge(0), Lt(1), LORA, Ui(step=0.05)] = 0.0
    """Chance that a whole module is skipped for a batch. 0.1 to 0.3 is usual; 0 turns it off."""

    scale_weight_norms: Annotated[float, Ge(0), LORA, Ui(step=0.1)] = 0.0
    """After each step, shrink every module whose change of the weights is larger than this norm. 1 is usual; 0 turns it off."""

    network_train_unet_only: Annotated[bool, ANY, Ui(label="Train the U-Net only")] = False
    """Leave the text encoder as it is, and out of the file."""

    network_train_text_encoder_only: Annotated[bool, ANY, Ui(label="Train the text encoder only")] = False
    """Leave the U-Net as it is, and out of the file."""

    network_weights: Annotated[str | None, ANY, Ui(kind="file")] = None
    """A network file to start from instead of from nothing. Its ranks must be those set here, unless dim_from_weights is on."""

    dim_from_weights: Annotated[bool, ANY, Ui(label="Ranks from the weights")] = False
    """Take every module's rank and alpha from network_weights, and train only the modules that are in it."""

    base_weights: Annotated[Words, ANY, Ui(label="Base weights", kind="file")] = ()
    """Network files that are merged into the base model before training. The new network then learns what they lack."""

    base_weights_multiplier: Annotated[Numbers, ANY] = ()
    """The strength of each of base_weights, in their order. Empty: 1 for each."""

    loraplus_lr_ratio: Annotated[float | None, Gt(0), LORA, Ui(label="LoRA+ ratio")] = None
    """Learn a LoRA's upper matrices this many times as fast as its lower ones (LoRA+). 4 to 16 is usual; empty turns it off."""

    loraplus_unet_lr_ratio: Annotated[float | None, Gt(0), LORA, Ui(label="LoRA+ ratio of the U-Net")] = None
    """The LoRA+ ratio for the U-Net alone. Empty: loraplus_lr_ratio."""

    loraplus_text_encoder_lr_ratio: Annotated[float | None, Gt(0), LORA, Ui(label="LoRA+ ratio of the text encoder")] = None
    """The LoRA+ ratio for the text encoder alone. Empty: loraplus_lr_ratio."""

    down_lr_weight: Annotated[Weights, LORA, Ui(label="Rates of the down blocks")] = None
    """Factors on the U-Net's rate for its 12 down blocks: 12 numbers, or sine, cosine, linear, reverse_linear or zeros,
    to which a number can be added (cosine+.25). A block with 0 gets no modules. Empty: 1 for each."""

    mid_lr_weight: Annotated[Weights, LORA, Ui(label="Rate of the middle block")] = None
    """The factor on the U-Net's rate for its middle block. 0 leaves it out; empty: 1."""

    up_lr_weight: Annotated[Weights, LORA, Ui(label="Rates of the up blocks")] = None
    """Factors on the U-Net's rate for its 12 up blocks, given as for the down blocks."""

    block_lr_zero_threshold: Annotated[float, Ge(0), Le(1), LORA, Ui(step=0.05)] = 0.0
    """Block factors that are not above this count as 0, so that their blocks get no modules. 0 keeps every block above 0."""

    block_dims: Annotated[Integers, LORA] = ()
    """The rank of each of the U-Net's 25 blocks: 12 down, 1 middle, 12 up. 0 leaves a block out. Empty: network_dim everywhere."""

    block_alphas: Annotated[Numbers, LORA] = ()
    """The alpha of each of the 25 blocks. Empty: network_alpha everywhere."""

    conv_block_dims: Annotated[Integers, LORA, Ui(label="Convolution ranks of the blocks")] = ()
    """The rank of the 3x3 convolutions of each of the 25 blocks. 0 leaves a block's out. Empty: conv_dim everywhere."""

    conv_block_alphas: Annotated[Numbers, LORA, Ui(label="Convolution alphas of the blocks")] = ()
    """The alpha of the 3x3 convolutions of each of the 25 blocks. Empty: conv_alpha everywhere."""

    network_args: Annotated[Words, ANY, Ui(lines=2)] = ()
    """The settings of this section in sd-scripts' way, as key=value words: conv_dim=8 conv_alpha=4."""

    @property
    def kind(self) -> str | None:
        """The adapter kind, or None where `network_module` names none."""
        return KINDS.get(self.network_module.strip().removeprefix("sd_scripts."))

    @property
    def trains_convolutions(self) -> bool:
        return bool(self.conv_dim or self.conv_block_dims)

    def resolved(self) -> NetworkConfig:
        """With what `network_args` says put where it belongs.

        Raises ValidationError for values that `relations` reports.
        """
        given = dict(_split(word) for word in self.network_args)
        return self.model_validate({**self.model_dump(), **given, "network_args": ()}) if given else self

    def relations(self) -> Iterator[Problem]:
        if self.kind is None:
            names = ", ".join(KINDS)
            yield Problem("network_module", f"There is no network type {self.network_module!r}; there is: {names}.")
        wrong = list(self._argument_problems())
        yield from wrong
        yield from self._part_problems()
        yield from self._weight_file_problems()
        if not wrong:
            yield from self.resolved()._block_problems()

    def _argument_problems(self) -> Iterator[Problem]:
        seen: dict[str, str] = {}
        known = _argument_names(self.kind)
        for word in self.network_args:
            key, value = _split(word)
            if "=" not in word:
                yield Problem("network_args", f"{word!r} is not of the form key=value.")
            elif key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f" Did you mean {near[0]}?" if near else f" There is: {', '.join(known)}."
                yield Problem("network_args", f"This network has no setting {key!r}.{hint}")
            elif key in seen:
                yield Problem("network_args", f"It has {key} twice; keep one of them.")
            else:
                yield from self._value_problems(key, value)
            seen[key] = value

    def _value_problems(self, key: str, value: str) -> Iterator[Problem]:
        declared = parameters(NetworkConfig)[key]
        field = NetworkConfig.model_fields[key]
        try:
            read = TypeAdapter(Annotated[(declared.annotation, *field.metadata)]).validate_python(value)  # type: ignore[valid-type]
        except ValidationError as error:
            yield Problem("network_args", f"{key}={value}: {error.errors()[0]['msg'][0].lower()}{error.errors()[0]['msg'][1:]}.")
            return
        if getattr(self, key) not in (declared.default, read):
            yield Problem(key, f"It is {getattr(self, key)} here and {value} in network_args; keep one of them.")

    def _part_problems(self) -> Iterator[Problem]:
        if self.network_train_unet_only and self.network_train_text_encoder_only:
            yield Problem("network_train_unet_only", "It and network_train_text_encoder_only are both on, so nothing would be trained; turn one off.")

    def _weight_file_problems(self) -> Iterator[Problem]:
        if self.dim_from_weights and not self.network_weights:
            yield Problem("dim_from_weights", "It takes the ranks from network_weights, which is empty; name a file there or turn it off.")
        if self.base_weights_multiplier and len(self.base_weights_multiplier) != len(self.base_weights):
            yield Problem(
                "base_weights_multiplier",
                f"It has {len(self.base_weights_multiplier)} numbers for {len(self.base_weights)} base_weights; give one for each, or none.",
            )

    def _block_problems(self) -> Iterator[Problem]:
        total = DOWN + MID + UP
        for key in ("block_dims", "block_alphas", "conv_block_dims", "conv_block_alphas"):
            values = getattr(self, key)
            if values and len(values) != total:
                yield Problem(key, f"It has {len(values)} numbers; a Stable Diffusion U-Net has {total} blocks, so give {total}.")
            if any(value < 0 for value in values):
                yield Problem(key, "It has a number below 0; give 0 for a block that is left out.")
        for key, count in (("down_lr_weight", DOWN), ("mid_lr_weight", MID), ("up_lr_weight", UP)):
            yield from _curve_problems(key, getattr(self, key), count)
        yield from self._idle_alphas()

    def _idle_alphas(self) -> Iterator[Problem]:
        if self.conv_block_alphas and not self.trains_convolutions:
            yield Notice("conv_block_alphas", "It has no effect without conv_dim or conv_block_dims.")
        if self.conv_alpha != 1.0 and not self.trains_convolutions:
            yield Notice("conv_alpha", "It has no effect without conv_dim or conv_block_dims.")
        if self.block_lr_zero_threshold and not (self.down_lr_weight or self.mid_lr_weight or self.up_lr_weight):
            yield Notice("block_lr_zero_threshold", "It has no effect without down_lr_weight, mid_lr_weight or up_lr_weight.")


FLAGS = (
    "network_module", "network_dim", "network_alpha", "network_dropout", "network_args", "network_weights", "dim_from_weights",
    "network_train_unet_only", "network_train_text_encoder_only", "base_weights", "base_weights_multiplier", "scale_weight_norms",
)  # fmt: skip
"""Settings that have a flag of their own in sd-scripts. All others of the section can stand in `network_args`."""


def _argument_names(kind: str | None) -> list[str]:
    """What `network_args` may set for a kind of network: the settings that apply to it and have no flag of their own."""
    return [
        key
        for key, parameter in parameters(NetworkConfig).items()
        if key not in FLAGS and (kind is None or kind in (parameter.applies_to.adapters or (kind,)))
    ]


def _split(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return key.strip(), value.strip().strip("'\"")


def curve(text: str) -> tuple[str, float] | None:
    """`cosine+.25` -> ("cosine", 0.25), `sine` -> ("sine", 0); None where it names no curve."""
    name, plus, base = text.replace(" ", "").partition("+")
    try:
        return (name, float(base) if plus else 0.0) if name in CURVES else None
    except ValueError:
        return None


def numbers(text: str) -> tuple[float, ...]:
    """`1, 0.5` -> (1.0, 0.5). Raises ValueError where one is no number."""
    return tuple(map(float, text.replace(",", " ").split()))


def _curve_problems(key: str, text: str | None, count: int) -> Iterator[Problem]:
    if not text or curve(text):
        return
    try:
        values = numbers(text)
    except ValueError:
        yield Problem(key, f"{text!r} is neither numbers nor one of {', '.join(CURVES)} (with a number added, as in cosine+.25).")
        return
    if len(values) != count:
        yield Problem(key, f"It has {len(values)} numbers; there {'is 1 block' if count == 1 else f'are {count} blocks'}, so give {count}.")
    elif min(values) < 0:
        yield Problem(key, "It has a number below 0; give 0 for a block that is left out.")


def rates(network: NetworkConfig, optimizer: Any) -> Mapping[str, float]:
    """Part of the model -> its learning rate, 0 where the part is not trained.

    A rate that is not set (None, or no number for the text encoder) is `learning_rate`; 0 means 0.
    """
    unet = optimizer.learning_rate if optimizer.unet_lr is None else optimizer.unet_lr
    text = optimizer.text_encoder_lr[0] if optimizer.text_encoder_lr else optimizer.learning_rate
    return {
        "unet": 0.0 if network.network_train_text_encoder_only else unet,
        "text_encoder": 0.0 if network.network_train_unet_only else text,
    }
