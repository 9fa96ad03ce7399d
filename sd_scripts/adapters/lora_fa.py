"""LoRA-FA (Zhang et al. 2023, arXiv:2308.03303): A stays as it was drawn, and B alone is trained, which saves
memory."""

from __future__ import annotations

from ..config.network import NetworkConfig
from .base import Size, Target
from .lora import Lora


class LoraFA(Lora):
    def __init__(self, target: Target, size: Size, network: NetworkConfig) -> None:
        super().__init__(target, size, network)
        self.lora_down.requires_grad_(False)
