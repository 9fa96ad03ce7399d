"""The words in which parameters are declared: `Group`, `Ui`, `AppliesTo`, `Aliases`, and what can be wrong.

A parameter is one annotated attribute of a `Group` with its help under it. `parameters(group)` reads that declaration
back as a `Parameter`, from which the form, the flags, the checks and the docs are made.
"""

from __future__ import annotations

import difflib
import functools
import operator
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails

__all__ = [
    "DDPM", "AppliesTo", "Aliases", "Ge", "Group", "Gt", "Le", "Lt", "Notice", "Numbers", "Parameter", "Problem",
    "SecretStr", "Ui", "Words", "did_you_mean", "label_of", "nearest", "parameters",
]  # fmt: skip

DDPM = ("sd1", "sd2", "sdxl")
"""Families that learn to remove noise of a thousand timesteps."""


@dataclass(frozen=True)
class Problem:
    """Why training can't start with these settings, in one sentence."""

    key: str
    message: str

    stops: ClassVar[bool] = True

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.key else self.message


@dataclass(frozen=True)
class Notice(Problem):
    """Something worth knowing about these settings that stops nothing."""

    stops: ClassVar[bool] = False


@dataclass(frozen=True)
class Ui:
    """How a parameter is shown.

    label: words for it, where the key's own words won't do.
    choices: suggestions for a text that may hold anything else.
    kind: "file", "folder" or "secret". basic: shown open in the form; the others are one click away.
    """

    label: str | None = None
    step: float | None = None
    lines: int = 1
    choices: tuple[str, ...] | None = None
    kind: Literal["file", "folder", "secret"] | None = None
    basic: bool = False
    hidden: bool = False


@dataclass(frozen=True)
class AppliesTo:
    """Where a parameter has an effect. None means everywhere."""

    families: tuple[str, ...] | None = None
    methods: tuple[str, ...] | None = None
    adapters: tuple[str, ...] | None = None

    def missing(self, family: str, method: str, adapter: str | None) -> str | None:
        """What it has no effect on, in words, or None where it has one."""
        for allowed, chosen, noun in (
            (self.families, family, "models"), (self.methods, method, "training"), (self.adapters, adapter, "networks"),
        ):  # fmt: skip
            if allowed is not None and chosen is not None and chosen not in allowed:
                return f"has no effect on {chosen} {noun}; it works for {', '.join(allowed)}"
        return None


class Aliases(tuple[str, ...]):
    """Other keys that mean the same."""

    def __new__(cls, *names: str) -> Aliases:
        return super().__new__(cls, names)


class Group(BaseModel):
    """The parameters of one subject: one section of the form, one file in config/."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        coerce_numbers_to_str=True,
        protected_namespaces=(),
    )

    title: ClassVar[str]

    @model_validator(mode="wrap")
    @classmethod
    def _no_truth_for_a_number(cls, values: Any, check: ModelWrapValidatorHandler[Group]) -> Group:
        """Python counts true as 1; nobody who writes `clip_skip = true` means 1."""
        wrong = [
            InitErrorDetails(type="int_type", loc=(key,), input=value)
            for key, value in (values.items() if isinstance(values, Mapping) else ())
            if isinstance(value, bool)
            and key in cls.model_fields
            and not _takes_truth(cls.model_fields[key].annotation)
        ]
        if wrong:
            raise ValidationError.from_exception_data(cls.__name__, wrong)
        return check(values)

    def relations(self) -> Iterator[Problem]:
        """Problems and notices of values that don't go together."""
        yield from ()


def _takes_truth(annotation: Any) -> bool:
    bare = _flatten(annotation)[0]
    return bare is bool or bare is Any or any(_takes_truth(inner) for inner in get_args(bare))


def split_words(value: object) -> object:
    """`a=1 b=(2, 3)` -> ["a=1", "b=(2, 3)"]: splits at white space outside brackets and quotes; other values pass."""
    if not isinstance(value, str):
        return value
    words: list[str] = []
    word, depth, quote = "", 0, ""
    for letter in value:
        depth += (letter in "([{") - (letter in ")]}") if not quote else 0
        quote = "" if letter == quote else (letter if letter in "'\"" and not quote else quote)
        if letter.isspace() and depth <= 0 and not quote:
            words, word = [*words, word], ""
        else:
            word += letter
    return [w for w in [*words, word] if w]


def split_numbers(value: object) -> object:
    """`1e-4 5e-5`, `1e-4,5e-5` or one number -> a list of them; other values pass."""
    if isinstance(value, str):
        return value.replace(",", " ").split()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [value]
    return value


Words = Annotated[tuple[str, ...], BeforeValidator(split_words)]
"""Several words, from a list or from one text."""
Numbers = Annotated[tuple[float, ...], BeforeValidator(split_numbers)]
"""Several numbers, from a list, a number or a text."""


@dataclass(frozen=True)
class Parameter:
    """What was declared about one parameter."""

    key: str
    group: type[Group]
    attribute: str  # of TrainConfig, where the group stands
    annotation: Any
    default: Any
    help: str
    kind: str  # bool int float str choice list secret mixed
    optional: bool  # None is a value: "let the engine choose"
    required: bool
    choices: tuple[Any, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    ui: Ui = Ui()
    applies_to: AppliesTo = AppliesTo()
    aliases: Aliases = Aliases()

    @property
    def label(self) -> str:
        return self.ui.label or label_of(self.key)


ACRONYMS = {
    "lr": "learning rate", "te": "text encoder", "unet": "U-Net", "vae": "VAE", "snr": "SNR", "fp8": "FP8",
    "fp16": "FP16", "bf16": "BF16", "sdpa": "SDPA", "xformers": "xFormers", "reso": "resolution", "n": "N",
    "aug": "augmentation", "reg": "regularization", "dir": "folder", "sdxl": "SDXL", "ddp": "DDP", "wandb": "W&B",
    "huggingface": "Hugging Face", "ip": "IP", "json": "JSON", "id": "ID", "ids": "IDs", "api": "API", "gpu": "GPU",
    "cpu": "CPU", "args": "arguments", "tensorboard": "TensorBoard", "param": "parameter",
}  # fmt: skip


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The one of `words` that was probably meant."""
    return next(iter(difflib.get_close_matches(word, list(words), n=1)), None)


def did_you_mean(word: str, words: Iterable[str], otherwise: str = "") -> str:
    """A sentence to be put behind another, with a space before it; `otherwise` where nothing is near."""
    near = nearest(word, words)
    return f" Did you mean {near}?" if near else otherwise


def label_of(key: str) -> str:
    """`min_snr_gamma` -> `Min SNR gamma`."""
    words = " ".join(ACRONYMS.get(word, word) for word in key.split("_"))
    return words[0].upper() + words[1:]


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """The annotation without `None`, and whether it had it."""
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation, False
    others = [a for a in get_args(annotation) if a is not types.NoneType]
    made = functools.reduce(operator.or_, others)
    return made, len(others) < len(get_args(annotation))


def _flatten(annotation: Any) -> tuple[Any, list[Any]]:
    """An annotation nested in `Annotated` -> the bare type and everything noted on it."""
    if get_origin(annotation) is Annotated:
        inner, *notes = get_args(annotation)
        bare, deeper = _flatten(inner)
        return bare, [*deeper, *notes]
    return annotation, []


def _kind(bare: Any) -> str:
    if get_origin(bare) is Literal:
        return "choice"
    if get_origin(bare) in (tuple, list):
        return "list"
    if get_origin(bare) in (Union, types.UnionType):
        return "mixed"
    return {bool: "bool", int: "int", float: "float", str: "str", SecretStr: "secret"}.get(bare) or (
        "str" if isinstance(bare, type) and issubclass(bare, PurePath) else "mixed"
    )


def _limits(notes: list[Any]) -> dict[str, float]:
    named = {Ge: "ge", Gt: "gt", Le: "le", Lt: "lt"}
    return {named[type(note)]: getattr(note, named[type(note)]) for note in notes if type(note) in named}


def _first(notes: list[Any], wanted: type, otherwise: Any) -> Any:
    return next((note for note in notes if isinstance(note, wanted)), otherwise)


def _parameter(group: type[Group], attribute: str, key: str, declared: FieldInfo) -> Parameter:
    bare, inner_notes = _flatten(declared.annotation)
    bare, optional = _without_none(bare)
    bare, deeper_notes = _flatten(bare)
    notes = [*declared.metadata, *inner_notes, *deeper_notes]
    return Parameter(
        key=key,
        group=group,
        attribute=attribute,
        annotation=declared.annotation,
        default=None if declared.is_required() else declared.get_default(call_default_factory=True, validated_data={}),
        help=declared.description or "",
        kind=_kind(bare),
        optional=optional,
        required=declared.is_required(),
        choices=get_args(bare) if get_origin(bare) is Literal else (),
        limits=_limits(notes),
        ui=_first(notes, Ui, Ui()),
        applies_to=_first(notes, AppliesTo, AppliesTo()),
        aliases=_first(notes, Aliases, Aliases()),
    )


def parameters(group: type[Group], attribute: str = "") -> dict[str, Parameter]:
    """key -> what the group declares about it, in the order of the declarations."""
    return {key: _parameter(group, attribute, key, declared) for key, declared in group.model_fields.items()}
