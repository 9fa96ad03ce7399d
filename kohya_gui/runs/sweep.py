"""One form, several runs: a field may hold several values, and every combination of them becomes a run."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from sd_scripts.config import load
from sd_scripts.config.schema import Parameter
from sd_scripts.errors import UserError

MOST_RUNS = 100
LONGEST_NAME = 100
NEVER = ("method", "output_name", "output_dir", "run_dir", "sample_prompts", "resume")
DECIMAL_COMMA = re.compile(r"\s*-?\d+,\d+\s*")
BAR = " | "


class TooMany(UserError):
    """More runs than anybody means to start."""


@dataclass(frozen=True)
class Planned:
    """A run to be: its name says in what it differs."""

    name: str
    settings: dict[str, object]


def swept(flat: Mapping[str, object]) -> dict[str, list[object]]:
    """key -> its values, for the fields that hold several."""
    known = load.parameters()
    found = {key: _several(known[key], value) for key, value in flat.items() if key in known and key not in NEVER}
    return {key: values for key, values in found.items() if len(values) > 1}


def combinations(flat: Mapping[str, object]) -> list[dict[str, object]]:
    """Flat settings for each combination, in the order in which one reads them; the settings themselves where no field
    holds several values. The output names say in what they differ. Raises TooMany."""
    return [run.settings for run in plan(str(flat.get("output_name") or "last"), flat)]


def plan(name: str, flat: Mapping[str, object]) -> list[Planned]:
    """The runs, each with a name of its own. Raises TooMany."""
    values = swept(flat)
    if not values:
        return [Planned(name, dict(flat))]
    count = prod(map(len, values.values()))
    if count > MOST_RUNS:
        raise TooMany(
            f"{', '.join(values)}: These values make {count} runs, more than the {MOST_RUNS} that are started at once; "
            "give fewer."
        )
    stem = str(flat.get("output_name") or "last")
    shared = _sharing_caches(flat)
    runs = []
    for number, chosen in enumerate(itertools.product(*values.values()), 1):
        differing = dict(zip(values, chosen, strict=True))
        words = " ".join(f"{key}={_short(value)}" for key, value in differing.items())
        file = _file_name(stem, words, number)
        runs.append(Planned(f"{name} {words}", {**shared, **differing, "output_name": file}))
    return runs


def _sharing_caches(flat: Mapping[str, object]) -> dict[str, object]:
    """Latents that are cached are kept on disk, where the next run of the sweep finds them."""
    return {**flat, "cache_latents_to_disk": True} if flat.get("cache_latents") is True else dict(flat)


def _several(parameter: Parameter, value: object) -> list[object]:
    """The values of one field. A list field is one value, whatever it holds."""
    if not isinstance(value, str) or parameter.kind in ("list", "secret"):
        return [value]
    parts = [part.strip() for part in value.split("," if _splits_at_commas(parameter) else BAR) if part.strip()]
    if parameter.kind == "float" and DECIMAL_COMMA.fullmatch(value):
        return [value]  # somebody's 0,5 and not two numbers
    read = [_read(parameter, part) for part in parts]
    if any(item is None for item in read):
        return [value]  # the schema says what is wrong with it
    return list(dict.fromkeys(read))


def _splits_at_commas(parameter: Parameter) -> bool:
    return parameter.kind in ("int", "float", "choice", "bool", "mixed") or bool(parameter.ui.choices)


def _read(parameter: Parameter, text: str) -> object:
    """One value as the schema takes it; None where it is none."""
    if parameter.kind in ("int", "float") or (parameter.kind == "mixed" and not text.endswith("%")):
        return _number(text, parameter.kind)
    if parameter.kind == "bool":
        return {"true": True, "yes": True, "false": False, "no": False}.get(text.lower())
    if parameter.kind == "choice":
        return next((choice for choice in parameter.choices if str(choice) == text), None)
    return text


def _number(text: str, kind: str) -> object:
    for read in (int,) if kind == "int" else (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return None


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _file_name(stem: str, words: str, number: int) -> str:
    """A name for files: without signs that a file system or a shell minds."""
    made = f"{stem}-{re.sub(r'[^A-Za-z0-9.+-]+', '-', words.replace('_', '-')).strip('-')}"
    return made if len(made) <= LONGEST_NAME else f"{made[: LONGEST_NAME - 4]}-{number:03d}"
