"""Dataset files: [general], [[datasets]] and [[datasets.subsets]] -> settings of data sets. No torch.

A key given nearer to the images wins: subset over dataset over general over the command line. What is merged is
checked as the same groups of settings that flags and presets are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..config import toml
from ..config.captions import CaptionConfig
from ..config.dataset import DatasetConfig
from ..config.load import sentences
from ..config.schema import Group, Notice, Problem, did_you_mean, parameters
from ..config.train_config import TrainConfig
from ..config.training import TrainingConfig
from ..errors import UserError
from .gather import DatasetSettings, Split
from .headers import few
from .records import Subset
from .table_keys import KEYS, PRESERVED, Kind, Level, SubsetKeys

KEY = "dataset_config"
GROUPS: dict[str, type[Group]] = {
    "dataset": DatasetConfig, "captions": CaptionConfig, "training": TrainingConfig, "own": SubsetKeys,
}  # fmt: skip


class BadTable(UserError):
    """A dataset file that can't be read."""


def read(file: Path, config: TrainConfig) -> tuple[list[DatasetSettings], list[Problem]]:
    """The data sets of the file, and all that is wrong with it. Data sets with problems are left out."""
    try:
        tables = _tables(file)
    except UserError as error:
        return [], [Problem(KEY, str(error))]
    reader = _Reader(file, config)
    return reader.datasets(tables), reader.problems


def _tables(file: Path) -> dict[str, Any]:
    if file.suffix.lower() == ".toml":
        return toml.read(file)
    if file.suffix.lower() != ".json":
        raise BadTable(f"The dataset file {file} must end in .toml or .json; rename it.")
    try:
        tables = json.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise BadTable(f"The file {file} does not exist; check its name.") from error
    except (OSError, ValueError) as error:
        raise BadTable(f"The dataset file {file} is not valid JSON: {error}.") from error
    if not isinstance(tables, dict):
        raise BadTable(f"The dataset file {file} must hold an object with general and datasets.")
    return tables


@dataclass
class _Merged:
    """Settings of one data set or subset, by group."""

    groups: dict[str, Group]

    @property
    def dataset(self) -> DatasetConfig:
        group = self.groups["dataset"]
        assert isinstance(group, DatasetConfig)
        return group

    @property
    def captions(self) -> CaptionConfig:
        group = self.groups["captions"]
        assert isinstance(group, CaptionConfig)
        return group

    @property
    def own(self) -> SubsetKeys:
        group = self.groups["own"]
        assert isinstance(group, SubsetKeys)
        return group


class _Reader:
    def __init__(self, file: Path, config: TrainConfig) -> None:
        self.file = file
        self.config = config
        self.problems: list[Problem] = []
        self._where = ""
        self._said_before = _said(config.dataset, config.captions)

    def datasets(self, tables: dict[str, Any]) -> list[DatasetSettings]:
        for key in tables.keys() - {"general", "datasets"}:
            self._problem(f"There is no such table as {key}.{did_you_mean(key, ('general', 'datasets'))}")
        general, datasets = tables.get("general", {}), tables.get("datasets", [])
        if not isinstance(general, dict) or not _is_tables(datasets):
            self._problem("general must be a table, and datasets a list of tables, written [general] and [[datasets]].")
            return []
        if not datasets:
            self._problem("It has no data set; add a table [[datasets]] with a [[datasets.subsets]] in it.")
        self._where = "general"
        general = self._known(general, "general", None)
        made = (self._dataset(number, table, general) for number, table in enumerate(datasets))
        return [settings for settings in made if settings is not None]

    def _dataset(self, number: int, table: Mapping[str, Any], general: dict[str, Any]) -> DatasetSettings | None:
        self._where = where = f"data set {number + 1}"
        subsets = table.get("subsets", [])
        if not _is_tables(subsets):
            self._problem("subsets must be a list of tables, written [[datasets.subsets]].")
            return None
        if not subsets:
            self._problem("It has no subset; add a table [[datasets.subsets]] with an image_dir.")
        kind = self._kind(subsets)
        own = self._known({key: value for key, value in table.items() if key != "subsets"}, "dataset", kind)
        merged = self._merged({**general, **own}, known_problems=set())
        inherited = {**general, **own} if merged else {}  # what is wrong above is said once
        said = _said(merged.dataset, merged.captions) if merged else set()
        made: list[Subset] = []
        for place, subset in enumerate(subsets):
            self._where = f"{where}, subset {place + 1}"
            made += self._subset({**inherited, **self._known(subset, "subset", kind)}, kind, said)
        if merged is None or kind is None:
            return None
        return DatasetSettings(merged.dataset, tuple(self._without_twins(made, where)), self._split(merged), number)

    def _kind(self, subsets: list[Mapping[str, Any]]) -> Kind | None:
        """What the subsets are, which must be the same for all."""
        for key, kind in (("conditioning_data_dir", "masked"), ("metadata_file", "finetuning")):
            having = sum(key in subset for subset in subsets)
            if having and having < len(subsets):
                self._problem(
                    f"{having} of {len(subsets)} subsets have {key}; give it in all or none, or make two data sets."
                )
                return None
            if having:
                return kind  # type: ignore[return-value]
        return "dreambooth"

    def _known(self, table: Mapping[str, Any], level: Level, kind: Kind | None) -> dict[str, Any]:
        """The keys that may stand here; each other one is a problem."""
        known = {}
        for key, value in table.items():
            row = KEYS.get(key)
            if row is None:
                near = did_you_mean(key, KEYS)
                self._problem(f"There is no such key as {key}.{near}")
            elif level not in (allowed := row.levels(kind)):
                places = " or ".join(allowed)
                self._problem(
                    f"{key} can't stand here; it belongs into {places}."
                    if allowed
                    else f"{key} does not go with {_words(kind)}."
                )
            else:
                known[key] = value
        return known

    def _merged(self, given: dict[str, Any], known_problems: set[tuple[str, str]]) -> _Merged | None:
        """The groups, with what the file gives over what the command line gives; None where a value is wrong."""
        values = {name: getattr(self.config, name).model_dump() for name in ("dataset", "captions", "training")}
        values["dataset"] |= {"dataset_config": None, "dataset_repeats": 1}  # both have done their work here
        values["own"] = {"num_repeats": self.config.dataset.dataset_repeats}
        for key, value in given.items():
            values[KEYS[key].group][KEYS[key].setting] = value
        groups: dict[str, Group] = {}
        for name, kind in GROUPS.items():
            try:
                groups[name] = kind.model_validate(values[name])
            except ValidationError as error:
                for problem in sentences(error, parameters(kind)):
                    self._problem(f"{_named(problem.key)}: {problem.message}")
        for group in (groups[name] for name in ("dataset", "captions", "own") if name in groups):
            for problem in group.relations():
                if (problem.key, problem.message) not in known_problems | self._said_before:
                    self._say(type(problem), f"{_named(problem.key)}: {problem.message}")
        return _Merged(groups) if len(groups) == len(GROUPS) else None

    def _subset(self, given: dict[str, Any], kind: Kind | None, said: set[tuple[str, str]]) -> Iterator[Subset]:
        merged = self._merged(given, said)
        if merged is None:
            return
        own, masked = merged.own, self.config.loss.masked_loss
        if own.image_dir is None and kind != "finetuning":
            self._problem("It has no image_dir; give the folder that its images lie in.")
        elif kind == "masked" and not masked:
            self._problem("conditioning_data_dir needs masked_loss; turn it on, or take the key out.")
        elif own.num_repeats < 1:
            self._say(Notice, "It is left out, because its num_repeats is 0.")
        else:
            self._say_of_attributes(own.custom_attributes)
            yield Subset(
                key=KEY,
                dataset=merged.dataset,
                captions=merged.captions,
                image_dir=Path(own.image_dir) if own.image_dir else None,
                metadata_file=Path(own.metadata_file) if own.metadata_file else None,
                is_reg=own.is_reg,
                class_tokens=own.class_tokens,
                repeats=own.num_repeats,
                masked=masked,
                attributes=own.custom_attributes,
            )

    def _say_of_attributes(self, given: Mapping[str, Any]) -> None:
        kind = self.config.method_kind
        if given.get(PRESERVED) and not kind.trains_network:
            reason = f"only a network can be left out again to see what the model said before, not {kind.title}"
            self._say(Notice, f"custom_attributes: {PRESERVED} has no effect, because {reason}.")
        others = [key for key in given if key != PRESERVED]
        if others:
            self._say(Notice, f"custom_attributes: No training acts on {few(others)}, so it has no effect.")

    def _without_twins(self, subsets: list[Subset], where: str) -> Iterator[Subset]:
        seen = set()
        for subset in subsets:
            place = subset.image_dir, subset.metadata_file
            if place in seen:
                self._where = where
                self._say(Notice, f"{subset.name} stands in it twice; the later is left out.")
                continue
            seen.add(place)
            yield subset

    def _split(self, merged: _Merged) -> Split:
        training = merged.groups["training"]
        assert isinstance(training, TrainingConfig)
        seed = self.config.training.seed if training.validation_seed is None else training.validation_seed
        return Split(training.validation_split, seed or 0)

    def _problem(self, message: str) -> None:
        self._say(Problem, message)

    def _say(self, severity: type[Problem], message: str) -> None:
        where = f"{self.file.name}, {self._where}" if self._where else self.file.name
        said = severity(KEY, f"{where}: {message}")
        if said not in self.problems:
            self.problems.append(said)


def _said(*groups: Group) -> set[tuple[str, str]]:
    """What groups say of themselves."""
    return {(problem.key, problem.message) for group in groups for problem in group.relations()}


KEYS_OF_SETTINGS = {row.setting: key for key, row in KEYS.items()}


def _named(setting: str) -> str:
    """The name that a dataset file has for a setting."""
    return KEYS_OF_SETTINGS.get(setting, setting)


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(table, dict) for table in value)


def _words(kind: Kind | None) -> str:
    words = {"masked": "conditioning_data_dir", "finetuning": "metadata_file"}
    return words.get(kind or "", "folders of images")
