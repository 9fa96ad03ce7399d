"""What training asks of a model, whatever its family: the whole seam.

Shapes: B batch, C channels, H and W height and width (of pixels or of latents), T tokens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from typing_extensions import Self

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from ..config.block_weights import Blocks
    from ..config.model import ModelConfig
    from ..config.precision import PrecisionConfig
    from ..config.schema import Notice
    from .kept_texts import KeptTexts
    from .text import Reading


@dataclass(frozen=True)
class Target:
    """A layer that an adapter can reach.

    name: what it is called in adapter files. part: "unet", "text_encoder" or "text_encoder_2". block: its index among
    the blocks that can have a rank and a rate of their own (see `config.block_weights`), None where it lies in none.
    stored_as_convolution: files hold its matrices as 1x1 convolutions even where the module is linear. role: what it is
    in the network, by which networks choose their layers: attention, mlp, projection, resnet, sampler, end or time.
    """

    name: str
    module: nn.Module
    part: str
    block: int | None = None
    stored_as_convolution: bool = False
    role: str = ""


@dataclass(frozen=True)
class Condition:
    """What the network is told about the pictures.

    text_BTC: the captions, token by token; where each attention network of the U-Net reads them in its own way (see
    `words.layers`), what they all read, one after the other.
    pooled_BD: the captions as a whole. sizes_B6: height and width of the original picture, top and left of the cut,
    height and width of the target, in pixels; None stands for a picture that was neither resized nor cut. Both are
    for families that ask for them.
    """

    text_BTC: Tensor
    pooled_BD: Tensor | None = None
    sizes_B6: Tensor | None = None


Draws = torch.Generator | list[torch.Generator] | None
"""One generator for a batch, or one for each of its pictures."""


class Pictures(Protocol):
    """The part of a data batch that a family reads."""

    captions: list[str]
    pixels_BCHW: Tensor | None
    latents_BCHW: Tensor | None
    original_sizes_hw: list[tuple[int, int]]
    crop_top_lefts: list[tuple[int, int]]
    target_sizes_hw: list[tuple[int, int]]


class Reader(Protocol):
    """Reads captions for a family in a way of its own."""

    def of(self, captions: Sequence[str], family: ModelFamily) -> Condition: ...


class ModelFamily(ABC):
    """A model of one family: its networks, and how pictures and captions go through them."""

    name: str
    unet: Any
    text_encoders: list[Any]
    tokenizers: list[Any]
    vae: Any
    scaling_factor: float
    """Latents are multiplied by this before the U-Net sees them."""
    vae_factor: int
    """Pixels per latent, along each side."""
    prediction_type: str
    """"epsilon" or "v_prediction"."""
    noise_schedule: dict[str, Any]
    """Arguments that make a diffusers scheduler the one that the model was trained with."""
    compute_dtype: torch.dtype
    layout: str
    """Of where it came from: "diffusers" (a folder) or "original" (a single file)."""
    notices: list[Notice]
    """What should be said about how it was loaded."""
    blocks: Blocks
    """The U-Net's blocks that can have a rank and a rate of their own."""
    reading: Reading
    """How captions are read."""
    kept_texts: KeptTexts | None = None
    """Captions that were encoded before, where text encoders no longer change."""
    reader: Reader | None = None
    """Who reads captions in place of the text encoders alone."""
    vae_batch_size: int | None = None
    """How many pictures the VAE takes at once, where that is limited."""

    @classmethod
    @abstractmethod
    def load(cls, model: ModelConfig, precision: PrecisionConfig) -> ModelFamily:
        """See `load_family`."""

    @abstractmethod
    def encode_images(self, pixels_BCHW: Tensor, generator: Draws = None) -> Tensor:
        """Pictures (-1..1) -> unscaled latents, drawn from the VAE's distribution (its mean without a generator)."""

    @abstractmethod
    def encode_captions(self, captions: Sequence[str]) -> Condition:
        """What the captions say to the network, by the text encoders as they are now."""

    @abstractmethod
    def predict(self, noisy_BCHW: Tensor, t_B: Tensor, condition: Condition) -> Tensor:
        """The network's prediction (of noise or velocity) for scaled noisy latents at timesteps 0..999."""

    @abstractmethod
    def adapter_targets(self, conv: bool, more: bool = False) -> list[Target]:
        """The layers that adapters reach; with `conv` the 3x3 convolutions and what stands between them too.

        more: also the U-Net's first and last layers, its time embedding and its normalizations, as LyCORIS does.
        """

    @abstractmethod
    def pipeline(self, scheduler: Any) -> DiffusionPipeline:
        """A pipeline that draws with these very networks."""

    @abstractmethod
    def original_tensors(self) -> dict[str, Tensor]:
        """All networks' tensors under their names in the original layout, that of single files."""

    def marks(self, schedule: Mapping[str, Any]) -> dict[str, Tensor]:
        """Empty tensors by which other programs know how such a file's model is to be drawn with."""
        return {}

    @abstractmethod
    def noted_configs(self) -> dict[str, str]:
        """Metadata of such a file, by which this program makes the same networks again."""

    @abstractmethod
    def store_in_8_bits(self, text_encoder: bool) -> None:
        """Keeps the frozen U-Net's weights in 8 bits, and with `text_encoder` the text encoders' too."""

    @abstractmethod
    def checkpoint_gradients(self) -> None:
        """Computes activations twice in place of keeping them."""

    def condition(self, batch: Pictures | Sequence[str]) -> Condition:
        """What the network is told about a batch's pictures; about captions alone, what they say."""
        captions = batch if isinstance(batch, Sequence) else batch.captions
        reader = self.reader or self.kept_texts
        return reader.of(captions, self) if reader else self.encode_captions(captions)

    def latents(self, batch: Pictures, generator: Draws = None) -> Tensor:
        """Scaled latents of a batch: the cached ones, or its pictures encoded."""
        if batch.latents_BCHW is not None:
            latents_BCHW = batch.latents_BCHW.to(self.device)
        elif batch.pixels_BCHW is not None:
            latents_BCHW = self.encode_images(batch.pixels_BCHW, generator)
        else:
            raise ValueError("a batch has neither pictures nor latents")
        return latents_BCHW.float() * self.scaling_factor

    @property
    def device(self) -> torch.device:
        return next(self.unet.parameters()).device

    @property
    def networks(self) -> Iterable[nn.Module]:
        return [self.unet, *self.text_encoders, self.vae]

    def to(self, device: torch.device | str) -> Self:
        for network in self.networks:
            network.to(device)
        return self
