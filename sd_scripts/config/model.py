from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from .methods import METHODS
from .schema import DDPM, AppliesTo, Ge, Group, Le, Notice, Problem, Ui

if TYPE_CHECKING:
    Method = str
else:
    Method = Literal[tuple(METHODS)]


class ModelConfig(Group):
    title: ClassVar[str] = "Model"

    method: Annotated[Method, Ui(hidden=True)] = "lora"
    """What is trained: a LoRA beside the model, the model itself, or new words for it."""

    pretrained_model_name_or_path: Annotated[str, Ui(label="Base model", kind="file", basic=True)] = (
        "sd_scripts/starter/model"
    )
    """The model to teach: a .safetensors or .ckpt file, a diffusers folder, or a Hugging Face model ID. The default is
    the small model that comes with this program."""

    sdxl: Annotated[bool, Ui(label="Stable Diffusion XL", basic=True)] = False
    """The base model is Stable Diffusion XL, or one that was made of it (Pony, Illustrious, NoobAI). Off for 1.x and
    2.x."""

    v2: Annotated[bool, Ui(label="Stable Diffusion 2.x", basic=True)] = False
    """The base model is Stable Diffusion 2.x. Off for 1.x and XL."""

    v_parameterization: Annotated[bool, AppliesTo(families=DDPM), Ui(label="V-prediction", basic=True)] = False
    """The base model predicts velocity instead of noise, as the 768-pixel Stable Diffusion 2.x models do, and a few
    made of XL."""

    vae: Annotated[str | None, Ui(label="VAE", kind="file")] = None
    """Another VAE to use with the model: a file, a diffusers folder, or a Hugging Face model ID. Empty: the model's
    own."""

    clip_skip: Annotated[int | None, Ge(1), Le(12), AppliesTo(families=("sd1", "sd2"))] = None
    """Use the text encoder's output this many layers from its end. 2 for anime models of the NovelAI line; 1 or empty
    for others."""

    max_token_length: Annotated[Literal[75, 150, 225] | None, Ui(label="Maximum caption tokens")] = None
    """How many tokens of a caption are read. Empty: 75. Longer captions are read in pieces of 75."""

    weighted_captions: bool = False
    """Read (word), [word] and (word:1.3) in captions as emphasis, as prompts do."""

    no_token_padding: Annotated[bool, AppliesTo(families=("sd1", "sd2")), Ui(label="No token padding")] = False
    """Fill captions up only to the longest of their batch, and not to the maximum caption tokens. The model was trained
    with the filling, so leave it off unless you know better."""

    no_half_vae: Annotated[bool, Ui(label="VAE in full precision")] = False
    """Run the VAE in 32 bits whatever the mixed precision. Helps when pictures come out black."""

    lowram: Annotated[bool, Ui(label="Low RAM")] = False
    """Load the model's weights straight to the GPU, for machines with more video memory than memory."""

    @property
    def family(self) -> str:
        return "sdxl" if self.sdxl else "sd2" if self.v2 else "sd1"

    def relations(self) -> Iterator[Problem]:
        if not self.pretrained_model_name_or_path.strip():
            yield Problem(
                "pretrained_model_name_or_path", "It is empty; give a model file, a folder or a Hugging Face model ID."
            )
        if self.v2 and self.sdxl:
            yield Problem("v2", "It and sdxl are both on, and a model is of one of the two; turn one off.")
        if self.family == "sd2" and self.clip_skip:
            yield Notice("clip_skip", "Stable Diffusion 2.x is normally trained without clip skip.")
        if self.v_parameterization and self.family == "sd1":
            yield Notice(
                "v_parameterization", "Stable Diffusion 1.x models predict noise, except for a few that say otherwise."
            )
