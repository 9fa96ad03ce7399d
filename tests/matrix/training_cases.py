"""Every family and every method, as rows of tables: a new one is one line here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Family:
    """folder: the fixture of its tiny model."""

    folder: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """settings: of a training by this method. file: what it leaves. fixed_text: settings under which text encoders stay
    as they are, so that captions can be encoded once; None where the method always changes them."""

    settings: dict[str, Any]
    file: str = "tiny.safetensors"
    fixed_text: dict[str, Any] | None = None


FAMILIES = {
    "sd1": Family("tiny_model"),
    "sd2": Family("tiny_sd2", {"v2": True}),
    "sd2-v": Family("tiny_sd2", {"v2": True, "v_parameterization": True}),
    "sdxl": Family("tiny_sdxl", {"sdxl": True}),
}
WORD = {"method": "textual_inversion", "token_string": "zork", "init_word": "red", "caption_prefix": "zork,"}
METHODS = {
    "lora": Method({"network_dim": 2, "network_dropout": 0.1}, fixed_text={"network_train_unet_only": True}),
    "dreambooth": Method(
        {"method": "dreambooth", "learning_rate": 1e-4, "optimizer_type": "AdamW8bit"},
        fixed_text={"train_text_encoder": False},
    ),
    "finetune": Method({"method": "finetune", "learning_rate": 1e-4, "ema": True, "ema_decay": 0.5}, fixed_text={}),
    "textual_inversion": Method(WORD),
    "xti": Method({**WORD, "xti": True}),
}
