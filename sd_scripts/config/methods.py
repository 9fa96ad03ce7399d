"""The methods, as their groups' files declare them."""

from __future__ import annotations

from . import full, network_relations, textual_inversion

METHODS = {
    "lora": network_relations.KIND,
    **dict.fromkeys(full.METHODS, full.KIND),
    "textual_inversion": textual_inversion.KIND,
}
