"""What can be set of each tool. Nothing here needs torch, so that the app can make forms of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator

from ..config.schema import Aliases, Ge, Group, Gt, Le, Notice, Numbers, Problem, Ui
from . import strengths

Precision = Literal["float", "fp16", "bf16"]
Method = Literal["sv_ratio", "sv_fro", "sv_cumulative"]


def split_lines(value: object) -> object:
    """One name a line, since names may hold blanks; other values pass."""
    return [line.strip() for line in value.splitlines() if line.strip()] if isinstance(value, str) else value


Files = Annotated[tuple[str, ...], BeforeValidator(split_lines)]
BlockLists = Annotated[tuple[str, ...], BeforeValidator(strengths.split_lists)]


def must_be_named(key: str, value: str | Sequence[str], what: str) -> Iterator[Problem]:
    if not value:
        yield Problem(key, f"It is empty; name {what}.")


def must_be_safetensors(key: str, value: str) -> Iterator[Problem]:
    yield from must_be_named(key, value, "the file to write, ending in .safetensors")
    if value and not value.endswith(".safetensors"):
        yield Problem(key, f"{value} does not end in .safetensors, the only format that is written; add that ending.")


def must_not_be_read(save_to: str, *files: str | None, key: str = "save_to", what: str = "files") -> Iterator[Problem]:
    """What is read is never replaced, even where it could be."""
    places = {Path(name).expanduser().absolute() for name in files if name}
    if save_to and Path(save_to).expanduser().absolute() in places:
        yield Problem(key, f"{save_to} is one of the {what} to read; give the result a name of its own.")


def must_pair(ratios: Sequence[float], models: Sequence[str]) -> Iterator[Problem]:
    if ratios and len(ratios) != len(models):
        yield Problem("ratios", f"It has {len(ratios)} numbers for {len(models)} models; give one for each, or none.")


class MergeSettings(Group):
    title: ClassVar[str] = "Merge"

    models: Annotated[Files, Ui(kind="file", basic=True, lines=3, label="Networks")] = ()
    """The LoRA files to merge."""

    ratios: Annotated[Numbers, Ui(basic=True)] = ()
    """The strength of each network in the result, in their order: 1 is all of its effect, 0.5 half of it. Empty: 1 for
    each."""

    lbws: Annotated[BlockLists, Ui(label="Block weights", lines=2)] = ()
    """For each network a list such as [1,0.5,0], one a line: the first number is for BASE, which is the text encoders,
    then one for each block of the U-Net: 26 or 17 numbers for SD 1.x and 2.x, 26, 20 or 12 for SDXL. 17 and 12 name
    only blocks with attention. They multiply the ratio; what lies in no block of the list keeps all of it. Empty: 1
    everywhere."""

    sd_model: Annotated[str | None, Ui(kind="file", basic=True, label="Model")] = None
    """A model to merge the networks into: a .safetensors file in the original layout or a diffusers folder.
    Empty: the networks become one network, whose ranks are the sums of theirs."""

    save_to: Annotated[str, Ui(kind="file", basic=True)] = ""
    """The file to write (.safetensors), or the folder where sd_model is a diffusers folder."""

    save_precision: Annotated[Precision | None, Ui()] = None
    """What numbers are saved as. Empty: as the model, or else the first network, holds them."""

    shuffle: bool = False
    """Put the ranks of a merged network in random order, which changes nothing in its effect."""

    no_metadata: bool = False
    """Leave the description of what was merged (ModelSpec) out of the file."""

    def relations(self) -> Iterator[Problem]:
        yield from must_be_named("models", self.models, "one LoRA file or more")
        yield from must_pair(self.ratios, self.models)
        yield from strengths.problems(self.lbws, self.models)
        if self.sd_model is None:
            yield from must_be_safetensors("save_to", self.save_to)
        else:
            yield from must_be_named("save_to", self.save_to, "the file or folder to write")
        yield from must_not_be_read(self.save_to, self.sd_model, *self.models)
        if self.sd_model and self.shuffle:
            yield Notice("shuffle", "It has no effect where networks are merged into a model.")


class SvdMergeSettings(Group):
    title: ClassVar[str] = "Merge to a rank"

    models: Annotated[Files, Ui(kind="file", basic=True, lines=3, label="Networks")] = ()
    """The networks to merge: LoRA, or any other kind that adds to weights."""

    ratios: Annotated[Numbers, Ui(basic=True)] = ()
    """The strength of each network in the result, in their order: 1 is all of its effect, 0.5 half of it. Empty: 1 for
    each."""

    lbws: Annotated[BlockLists, Ui(label="Block weights", lines=2)] = ()
    """For each network a list such as [1,0.5,0], one a line: the first number is for BASE, which is the text encoders,
    then one for each block of the U-Net: 26 or 17 numbers for SD 1.x and 2.x, 26, 20 or 12 for SDXL. 17 and 12 name
    only blocks with attention. They multiply the ratio; what lies in no block of the list keeps all of it. Empty: 1
    everywhere."""

    new_rank: Annotated[int, Ge(1), Ui(basic=True)] = 4
    """The rank of the result, which is the nearest that a LoRA of this rank can come. 4 to 128; more keeps more."""

    new_conv_rank: Annotated[int | None, Ge(1), Ui(label="New convolution rank")] = None
    """The rank of 3x3 convolutions. Empty: new_rank."""

    save_to: Annotated[str, Ui(kind="file", basic=True)] = ""
    """The file to write (.safetensors)."""

    save_precision: Annotated[Precision | None, Ui()] = None
    """What numbers are saved as. Empty: as the first network holds them."""

    device: Annotated[str | None, Ui(choices=("cpu", "cuda"))] = None
    """Where to compute: cpu or cuda. Empty: cpu."""

    no_metadata: bool = False
    """Leave the description of what was merged (ModelSpec) out of the file."""

    def relations(self) -> Iterator[Problem]:
        yield from must_be_named("models", self.models, "one network file or more")
        yield from must_pair(self.ratios, self.models)
        yield from strengths.problems(self.lbws, self.models)
        yield from must_be_safetensors("save_to", self.save_to)
        yield from must_not_be_read(self.save_to, *self.models)


class ResizeSettings(Group):
    title: ClassVar[str] = "Resize"

    model: Annotated[str, Ui(kind="file", basic=True, label="Network")] = ""
    """The LoRA file to make smaller or larger."""

    save_to: Annotated[str, Ui(kind="file", basic=True)] = ""
    """The file to write (.safetensors)."""

    new_rank: Annotated[int, Ge(1), Ui(basic=True)] = 4
    """The rank of every module; with a dynamic method, the highest one that a module may get."""

    new_conv_rank: Annotated[int | None, Ge(1), Ui(label="New convolution rank")] = None
    """The same for 3x3 convolutions. Empty: new_rank."""

    dynamic_method: Annotated[Method | None, Ui(basic=True)] = None
    """Choose each module's rank by its singular values. sv_ratio: keep those above the largest divided by
    dynamic_param.
    sv_fro: keep this share of the Frobenius norm. sv_cumulative: keep this share of their sum. Empty: new_rank
    everywhere."""

    dynamic_param: Annotated[float | None, Gt(0), Ui(basic=True, step=0.05)] = None
    """The target of the dynamic method: for sv_ratio 2 or more (usual: 10), for the others a share up to 1 (usual:
    0.9)."""

    save_precision: Annotated[Precision | None, Ui()] = None
    """What numbers are saved as. Empty: as the network holds them."""

    device: Annotated[str | None, Ui(choices=("cpu", "cuda"))] = None
    """Where to compute: cpu or cuda. Empty: cpu."""

    verbose: bool = False
    """List every module with its rank and what was kept of it."""

    def relations(self) -> Iterator[Problem]:
        yield from must_be_named("model", self.model, "a LoRA file")
        yield from must_be_safetensors("save_to", self.save_to)
        yield from must_not_be_read(self.save_to, self.model)
        if self.dynamic_method and self.dynamic_param is None:
            yield Problem(
                "dynamic_param",
                f"{self.dynamic_method} needs it; give {'10' if self.dynamic_method == 'sv_ratio' else '0.9'}, for "
                "example.",
            )
        elif self.dynamic_param is not None:
            yield from self._param_problems(self.dynamic_param)

    def _param_problems(self, param: float) -> Iterator[Problem]:
        if self.dynamic_method is None:
            yield Notice("dynamic_param", "It has no effect without dynamic_method.")
        elif self.dynamic_method == "sv_ratio" and param < 2:
            yield Problem("dynamic_param", f"{param:g} is out of range; for sv_ratio it must be at least 2.")
        elif self.dynamic_method != "sv_ratio" and param > 1:
            yield Problem(
                "dynamic_param", f"{param:g} is out of range; for {self.dynamic_method} it is a share, so at most 1."
            )


class ExtractSettings(Group):
    title: ClassVar[str] = "Extract"

    model_org: Annotated[str, Ui(kind="file", basic=True, label="Original model")] = ""
    """The model before it was tuned: a file in the original layout or a diffusers folder."""

    model_tuned: Annotated[str, Ui(kind="file", basic=True, label="Tuned model")] = ""
    """The model after it was tuned. What it does differently becomes the network."""

    save_to: Annotated[str, Ui(kind="file", basic=True)] = ""
    """The file to write (.safetensors)."""

    algo: Annotated[Literal["lora", "loha"], Ui(basic=True, label="Kind of network")] = "lora"
    """lora (LoCon with a convolution rank) is found at once; loha holds more at the same rank in a file twice as large,
    and takes longer to find."""

    dim: Annotated[int, Ge(1), Ui(basic=True, label="Rank")] = 4
    """The rank of the network. 32 to 128 keep most of a tuned model; 8 to 32 with loha."""

    conv_dim: Annotated[int | None, Ge(1), Ui(basic=True, label="Convolution rank")] = None
    """The rank of 3x3 convolutions; with it, all layers of residual blocks are extracted too (LoCon). Empty: they are
    left out."""

    min_diff: Annotated[float, Ge(0), Ui(step=0.005)] = 0.01
    """A text encoder whose largest change of a weight is not above this counts as unchanged and is left out. 0 always
    takes it."""

    clamp_quantile: Annotated[float, Gt(0), Le(1), Ui(step=0.01)] = 0.99
    """Numbers of a LoRA beyond this share of all of a module's are cut to it, which tames outliers. 1 cuts nothing."""

    save_precision: Annotated[Precision | None, Ui()] = None
    """What numbers are saved as. Empty: as the tuned model holds them."""

    device: Annotated[str | None, Ui(choices=("cpu", "cuda"))] = None
    """Where to compute: cpu or cuda. Empty: cpu."""

    v_parameterization: bool = False
    """Note in the file that the models predict velocity (Stable Diffusion 2.x 768)."""

    no_metadata: bool = False
    """Leave the description of the file (ModelSpec) out of it."""

    def relations(self) -> Iterator[Problem]:
        yield from must_be_named("model_org", self.model_org, "the model before tuning")
        yield from must_be_named("model_tuned", self.model_tuned, "the model after tuning")
        yield from must_be_safetensors("save_to", self.save_to)
        yield from must_not_be_read(self.save_to, self.model_org, self.model_tuned)


class ExtractDyloraSettings(Group):
    title: ClassVar[str] = "Extract from DyLoRA"

    model: Annotated[str, Ui(kind="file", basic=True, label="DyLoRA file")] = ""
    """A network that was trained as DyLoRA, so that each part of its ranks works by itself."""

    unit: Annotated[int, Ge(1), Ui(basic=True)] = 4
    """The step between the ranks of the files, as in the training: a network of rank 16 and a unit of 4 gives 4, 8, 12
    and 16."""

    save_to: Annotated[str, Ui(kind="file", basic=True)] = ""
    """What the files are called (.safetensors). Each gets its rank: name-0004.safetensors."""

    def relations(self) -> Iterator[Problem]:
        yield from must_be_named("model", self.model, "a DyLoRA file")
        yield from must_be_safetensors("save_to", self.save_to)


class ConvertSettings(Group):
    title: ClassVar[str] = "Convert"

    model: Annotated[str, Ui(kind="file", basic=True, label="Network")] = ""
    """The LoRA file to convert."""

    layout: Annotated[Literal["kohya", "diffusers"], Ui(basic=True)] = "diffusers"
    """The names to write: kohya (sd-scripts, ComfyUI, web UIs) or diffusers (PEFT)."""

    save_to: Annotated[str, Ui(kind="file", basic=True)] = ""
    """The file to write (.safetensors)."""

    save_precision: Annotated[Precision | None, Ui()] = None
    """What numbers are saved as. Empty: as the file holds them."""

    def relations(self) -> Iterator[Problem]:
        yield from must_be_named("model", self.model, "a LoRA file")
        yield from must_be_safetensors("save_to", self.save_to)
        yield from must_not_be_read(self.save_to, self.model)


class CheckSettings(Group):
    title: ClassVar[str] = "Check"

    file: Annotated[str, Ui(kind="file", basic=True, label="Network")] = ""
    """The network file to check for broken numbers and modules without effect."""

    show_all_keys: Annotated[bool, Aliases("s")] = False
    """List every tensor with its figures, not only those of modules with something to say."""

    def relations(self) -> Iterator[Problem]:
        yield from must_be_named("file", self.file, "a network file")


class InspectSettings(Group):
    title: ClassVar[str] = "Inspect"

    file: Annotated[str, Ui(kind="file", basic=True, label="Network")] = ""
    """The network file to look into."""

    show_all_metadata: bool = False
    """List every field of the metadata as it stands in the file, too."""

    def relations(self) -> Iterator[Problem]:
        yield from must_be_named("file", self.file, "a network file")


class ReadSettingsSettings(Group):
    title: ClassVar[str] = "Settings of a file"

    file: Annotated[str, Ui(kind="file", basic=True, label="Network")] = ""
    """The .safetensors file whose training settings are wanted."""

    def relations(self) -> Iterator[Problem]:
        yield from must_be_named("file", self.file, "a .safetensors file")
