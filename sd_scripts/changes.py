"""What is changed in a live run: a factor on its learning rates, and its end. No torch.

The app asks for it in the file control/change. The engine does it after the step that is under way and writes a
`changed` event. A training that is resumed from before that step does it again after the same step, so that it ends
as one that was never broken off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import UserError


class BadChange(UserError):
    """A live run can't be changed in that way."""


def checked(asked: Mapping[str, Any]) -> dict[str, float]:
    """`rate_factor` (of the rates that the settings give), `total_steps` or `epochs`. Raises BadChange."""
    unknown = asked.keys() - {"rate_factor", "total_steps", "epochs"}
    if unknown or not asked:
        raise BadChange(
            f"{sorted(unknown)[0] if unknown else 'Nothing'} can't be changed in a live run; "
            "give rate_factor, total_steps or epochs."
        )
    found: dict[str, float] = {}
    for key, value in asked.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if key == "rate_factor":
            if not is_number or not 0 < value <= 1000:
                raise BadChange(f"rate_factor: {value!r} must be a number above 0 and at most 1000, such as 0.5.")
        elif not is_number or value != int(value) or value < 1:
            raise BadChange(f"{key}: {value!r} must be a whole number of at least 1.")
        found[key] = float(value) if key == "rate_factor" else int(value)
    return found


@dataclass
class Changes:
    """step -> what holds after it."""

    factors: dict[int, float] = field(default_factory=dict)
    totals: dict[int, int] = field(default_factory=dict)

    def take(self, event: Mapping[str, Any]) -> None:
        """A `changed` event. It sets aside what was to be done again at later steps."""
        step = int(event["step"])
        if "rate_factor" in event:
            self.factors = _until(self.factors, step) | {step: float(event["rate_factor"])}
        if "total_steps" in event:
            self.totals = _until(self.totals, step) | {step: int(event["total_steps"])}

    def factor(self, step: int) -> float:
        """What the rates of the settings are multiplied with after this step."""
        return self.factors.get(_newest(self.factors, step), 1.0)

    def total(self, step: int) -> int | None:
        """The last step, as it stands after this one; None where the settings' own holds."""
        return self.totals.get(_newest(self.totals, step))


def recorded(events: Iterable[Mapping[str, Any]]) -> Changes:
    changes = Changes()
    for event in events:
        if event.get("kind") == "start" and not event.get("resumed_step"):
            changes = Changes()  # trained anew
        elif event.get("kind") == "changed":
            changes.take(event)
    return changes


def _until(found: dict[int, Any], step: int) -> dict[int, Any]:
    return {at: value for at, value in found.items() if at < step}


def _newest(found: Iterable[int], step: int) -> int:
    return max((at for at in found if at <= step), default=-1)
