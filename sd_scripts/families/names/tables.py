"""Renaming by a table of dotted prefixes, forth and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")
Names = dict[str, str]


def renamed(key: str, names: Mapping[str, str]) -> str | None:
    """`key` with its longest prefix that `names` knows replaced, or None where it knows none."""
    parts = key.split(".")
    for end in range(len(parts), 0, -1):
        prefix = ".".join(parts[:end])
        if prefix in names:
            return ".".join([names[prefix], *parts[end:]])
    return None


def rename_all(tensors: Mapping[str, Value], names: Mapping[str, str]) -> dict[str, Value]:
    """What `names` knows, under its new names. What it does not know is left out."""
    new = {key: renamed(key, names) for key in tensors}
    return {name: tensors[key] for key, name in new.items() if name is not None}


def reverse(names: Mapping[str, str]) -> Names:
    back = {new: old for old, new in names.items()}
    if len(back) < len(names):
        raise ValueError("two names of the table become one, so it can't be reversed")
    return back


def under(prefix: str, tensors: Mapping[str, Value]) -> dict[str, Value]:
    """The tensors whose names begin with `prefix`, without it."""
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
