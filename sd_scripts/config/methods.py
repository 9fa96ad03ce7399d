"""The methods, as their groups' files declare them. A method is one file in `sd_scripts/methods` and its group."""

from __future__ import annotations

from . import full, network_relations, textual_inversion

METHODS = {kind.name: kind for kind in (network_relations.KIND, *full.KINDS, textual_inversion.KIND)}
"""In the order in which the form offers them."""
