"""The kinds of networks that are tested alike, with the settings that change their tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

LYCORIS = {"network_module": "lycoris.kohya"}

CASES: dict[str, dict[str, Any]] = {
    "lora": {},
    "lora with convolutions": {"conv_dim": 2},
    "lora_fa": {"network_module": "networks.lora_fa"},
    "dylora": {"network_module": "networks.dylora", "unit": 2},
    "oft": {"network_module": "networks.oft"},
    "locon": LYCORIS,
    "locon, tucker": {**LYCORIS, "use_tucker": True},
    "locon, dora": {**LYCORIS, "dora_wd": True},
    "locon, scalar": {**LYCORIS, "use_scalar": True, "rs_lora": True},
    "loha": {**LYCORIS, "algo": "loha", "train_norm": True},
    "loha, dora on inputs": {**LYCORIS, "algo": "loha", "dora_wd": True, "wd_on_output": False, "use_tucker": True},
    "lokr": {**LYCORIS, "algo": "lokr", "factor": 2, "network_dim": 1, "decompose_both": True},
    "lokr, whole": {**LYCORIS, "algo": "lokr", "full_matrix": True, "use_scalar": True},
    "ia3": {**LYCORIS, "algo": "ia3", "preset": "ia3"},
    "lycoris dylora": {**LYCORIS, "algo": "dylora"},
    "glora": {**LYCORIS, "algo": "glora"},
    "diag-oft": {**LYCORIS, "algo": "diag-oft", "rescaled": True},
    "boft": {**LYCORIS, "algo": "boft", "constraint": 0.01},
    "full": {**LYCORIS, "algo": "full", "train_norm": True},
    "layers of their own kinds": {**LYCORIS, "preset": str(Path(__file__).with_name("own_kinds.toml")), "factor": 4},
}
