"""The kinds of networks, and what chooses each of them."""

from __future__ import annotations

LYCORIS_MODULE = "lycoris.kohya"
KINDS = {
    "networks.lora": "lora",
    "networks.lora_fa": "lora_fa",
    "networks.dylora": "dylora",
    "networks.oft": "oft",
    "networks.loha": "loha",
    "networks.lokr": "lokr",
    LYCORIS_MODULE: "locon",
}
"""What can stand in `network_module` -> the kind of adapter. A `sd_scripts.` before it means the same."""

ALGORITHMS = {
    "lora": "locon", "locon": "locon", "loha": "loha", "lokr": "lokr", "ia3": "ia3", "dylora": "lycoris_dylora",
    "glora": "glora", "diag-oft": "diag-oft", "boft": "boft", "full": "full",
}  # fmt: skip
"""`algo` with lycoris.kohya -> the kind of adapter."""

LYCORIS = tuple(dict.fromkeys(ALGORITHMS.values()))
ALL_KINDS = tuple(dict.fromkeys((*KINDS.values(), *LYCORIS)))
WITHOUT_RANK = ("ia3", "full")
RANKED = tuple(kind for kind in ALL_KINDS if kind not in WITHOUT_RANK)
WITH_ALPHA = tuple(kind for kind in RANKED if kind not in ("diag-oft", "boft"))
FACTORED = ("locon", "loha", "lokr")

USUAL_RATES = {"lora_fa": (5e-4, 2e-2), "ia3": (5e-3, 1.0), "diag-oft": (2e-4, 5e-2), "full": (1e-7, 1e-4)}
"""Kinds that learn with AdamW at far other rates of the U-Net than LoRA, which wants 1e-5 to 1e-3."""
