"""Gathers the captions and tags of pictures in a metadata file, which fine-tuning reads, and cleans them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..adapters.io import saved
from ..data import headers, texts
from ..data.metadata import entries_of
from ..errors import UserError
from .data_settings import CaptionsToMetadataSettings, CleanSettings, TagsToMetadataSettings
from .progress import amount
from .tool import Say

Entries = dict[str, dict[str, Any]]
SHORT = 3
"""Tags of so many letters are faces like ^_^, whose underscores stay."""


def merge_captions(settings: CaptionsToMetadataSettings, say: Say) -> None:
    _gather(settings, "caption", say)


def merge_tags(settings: TagsToMetadataSettings, say: Say) -> None:
    _gather(settings, "tags", say)


def clean(settings: CleanSettings, say: Say) -> None:
    entries = _read(Path(settings.in_json).expanduser())
    changed = 0
    for name, entry in entries.items():
        for key, cleaned in (("caption", cleaned_caption), ("tags", cleaned_tags)):
            before = entry.get(key) or ""
            entry[key] = after = cleaned(before)
            changed += before != after
            if settings.debug and before != after:
                say(f"{name}: {before!r} -> {after!r}")
            if not after:
                del entry[key]
    _write(Path(settings.out_json).expanduser(), entries)
    say(f"Saved {settings.out_json}: {amount(changed, 'text')} of {amount(len(entries), 'picture')} cleaned.")


def cleaned_caption(caption: str) -> str:
    """Single blanks, and no word twice in a row."""
    return re.sub(r"\b(\w+)( \1\b)+", r"\1", " ".join(caption.split()))


def cleaned_tags(tags: str) -> str:
    """Blanks for underscores, no ratings, and every tag once."""
    parts = (tag.strip() for tag in tags.split(","))
    named = (tag.replace("_", " ") if len(tag) > SHORT else tag for tag in parts)
    return ", ".join(dict.fromkeys(tag for tag in named if tag and not tag.startswith("rating:")))


def _gather(settings: CaptionsToMetadataSettings | TagsToMetadataSettings, key: str, say: Say) -> None:
    folder, out = Path(settings.train_data_dir).expanduser(), Path(settings.out_json).expanduser()
    given = Path(settings.in_json).expanduser() if settings.in_json else out
    entries = _read(given) if settings.in_json or out.is_file() else {}
    took, without = 0, []
    for image, name, text in _found(folder, settings):
        if text is None:
            without.append(image.name)
            continue
        took += 1
        entries.setdefault(name, {})[key] = text
        if settings.debug:
            say(f"{name}: {text}")
    if not took:
        what = f"a picture with a {settings.caption_extension} file"
        raise UserError(f"train_data_dir: {folder} has no {what} in it; choose another folder or caption_extension.")
    _write(out, entries)
    if without:
        named = headers.few(without)
        say(f"Note: {amount(len(without), 'picture')} without a {settings.caption_extension} file, left out: {named}.")
    say(f"Saved {out}: {key} of {amount(took, 'picture')}; {amount(len(entries), 'picture')} in all.")


def _found(
    folder: Path, settings: CaptionsToMetadataSettings | TagsToMetadataSettings
) -> Iterator[tuple[Path, str, str | None]]:
    """Each picture with its name in the metadata and its text's first line, None where it has none."""
    if not folder.is_dir():
        raise UserError(f"train_data_dir: There is no folder {folder}; check its spelling.")
    folders = sorted(Path(place) for place, _, _ in os.walk(folder)) if settings.recursive else [folder]
    for place in folders:
        names = set(os.listdir(place))
        for image in (place / name for name in headers.images_among(names)):
            name = str(image.absolute()) if settings.full_path else str(image.relative_to(folder).with_suffix(""))
            file = texts.file_for(image.stem, settings.caption_extension, names)
            lines = texts.read_lines(place / file) if file else ()
            yield image, name, lines[0] if lines else None


def _read(file: Path) -> Entries:
    return {name: dict(entry) for name, entry in entries_of(file)}


def _write(file: Path, entries: Entries) -> None:
    with saved(file, "out_json") as new:
        new.write_text(json.dumps(entries, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
