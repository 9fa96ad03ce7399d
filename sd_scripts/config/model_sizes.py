"""What the parts of a model hold, as far as it decides how much is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

VAE_LEVELS = 4  # in all families


@dataclass(frozen=True)
class Layers:
    """Weights that an adapter can reach. flat: (inputs, outputs) of linear layers and 1x1 convolutions.
    square: (inputs, outputs) of 3x3 convolutions."""

    flat: tuple[tuple[int, int], ...] = ()
    square: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Part:
    """parameters: how many numbers it holds. width: channels of a U-Net's first level, or of a text encoder.
    depth: layers of a text encoder, levels of a VAE. attention: what a LoRA trains. around: what it trains too if
    convolutions are trained."""

    parameters: int
    width: int = 0
    depth: int = 0
    attention: Layers = Layers()
    around: Layers = Layers()


@dataclass(frozen=True)
class Sizes:
    """exact: read from the model's files; else those of the family are taken."""

    parts: Mapping[str, Part] = field(default_factory=dict)
    exact: bool = True

    @property
    def vae_factor(self) -> int:
        """Pixels per latent, along each side."""
        levels = self.parts["vae"].depth if "vae" in self.parts else 0
        return 1 << ((levels or VAE_LEVELS) - 1)

    @property
    def text_encoders(self) -> list[str]:
        return [name for name in self.parts if name.startswith("text_encoder")]

    @property
    def parameters(self) -> int:
        return sum(part.parameters for part in self.parts.values())
