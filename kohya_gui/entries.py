"""What the widgets of one form hold, read once for everything that is asked about it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sd_scripts.config import load
from sd_scripts.config.schema import Notice, Parameter, Problem
from sd_scripts.config.train_config import TrainConfig
from sd_scripts.errors import UserError
from sd_scripts.training.launch import SECRETS

from . import access, additional, layout, values
from .runs import sweep


@dataclass(frozen=True)
class Entries:
    """`given`: the value of each of the page's widgets, in the order of `layout.shown_parameters`."""

    given: Sequence[Any]

    @classmethod
    def of(cls, settings: Mapping[str, object]) -> Entries:
        """As if the form held these settings and the defaults of all others."""
        return cls(values.widget_values(layout.shown_parameters(), settings))

    @classmethod
    def gathered(cls, form: str) -> Entries:
        """As the page's script hands them over."""
        return cls(tuple(json.loads(form)))

    @property
    def parameters(self) -> Sequence[Parameter]:
        return layout.shown_parameters()

    @cached_property
    def settings(self) -> dict[str, object]:
        """Everything that is filled in and differs from its default, without secrets."""
        return values.settings(self.parameters, self.given)

    @cached_property
    def shown(self) -> dict[str, Any]:
        """Key -> what its widget holds."""
        return {parameter.key: value for parameter, value in zip(self.parameters, self.given, strict=True)}

    @property
    def method(self) -> str:
        return str(self.shown[layout.METHOD] or load.parameters()[layout.METHOD].default)

    @cached_property
    def additional(self) -> additional.Parsed:
        return additional.parse(self.settings.get(additional.KEY))

    @cached_property
    def flat(self) -> dict[str, object]:
        """What would be trained with: no settings of other methods, and the additional parameters in their places."""
        own = {
            key: value
            for key, value in self.settings.items()
            if key != additional.KEY and not layout.of_another_method(key, self.method)
        }
        return {**own, **self.additional.settings}

    @cached_property
    def kept(self) -> dict[str, object]:
        """What a browser may keep. A secret that was typed among the flags by mistake stays out."""
        safe = not any("is a secret" in problem.message for problem in self.additional.problems)
        return {key: value for key, value in self.settings.items() if safe or key != additional.KEY}

    @cached_property
    def parked(self) -> list[str]:
        """Keys that are filled in for another method."""
        return [key for key in self.settings if layout.of_another_method(key, self.method)]

    @cached_property
    def secrets(self) -> dict[str, str]:
        return values.secrets(self.parameters, self.given)

    @property
    def environment(self) -> dict[str, str]:
        """Secrets by the variables in which the engine finds them."""
        return {SECRETS.get(key, key.upper()): secret for key, secret in self.secrets.items()}

    @cached_property
    def runs(self) -> list[dict[str, object]]:
        """The settings of each run that a start makes: several where a field holds several values."""
        try:
            return sweep.combinations(self.flat)
        except UserError:
            return [self.flat]

    @cached_property
    def swept(self) -> dict[str, list[object]]:
        """Key -> its values, of the fields that hold several."""
        return sweep.swept(self.flat)

    @cached_property
    def loaded(self) -> load.Loaded:
        """The first run's settings, where those of every run are right; everything that is to be said about any."""
        each = [load.from_flat({**flat, **self.secrets}) for flat in self.runs]
        found = [additional.moved(problem, self.additional) for loaded in each for problem in loaded.problems]
        found += [*self.additional.problems, *additional.overridden(self.settings, self.additional)]
        found += [*self._too_many(), *self._several(), *self._outside()]
        problems = list(dict.fromkeys(found))
        stopped = any(problem.stops for problem in problems)
        return load.Loaded(None if stopped else each[0].config, problems)

    def _too_many(self) -> list[Problem]:
        try:
            sweep.combinations(self.flat)
        except UserError as error:
            return [Problem(next(iter(self.swept), ""), str(error))]
        return []

    def _outside(self) -> list[Problem]:
        """Places where the app may not go."""
        return [problem for flat in self.runs for problem in access.problems(load.parameters().values(), flat)]

    def _several(self) -> list[Problem]:
        """What a start makes of fields that hold several values."""
        return [
            Notice(key, f"{len(several)} values: Start makes {len(self.runs)} runs, one for each combination.")
            for key, several in self.swept.items()
        ]

    @property
    def config(self) -> TrainConfig | None:
        return self.loaded.config
