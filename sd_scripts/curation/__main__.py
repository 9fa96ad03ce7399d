"""Captions of a folder from the command line:

python -m sd_scripts.curation FOLDER replace --find "red hat" --by "blue hat" --only_show
python -m sd_scripts.curation FOLDER undo
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from . import edits
from .image_folder import ImageFolder, Outcome, Search

MOST_SHOWN = 20


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m sd_scripts.curation", description="Edits the captions of a folder.")
    made.add_argument("folder", type=Path, help="the folder that images and captions lie in")
    made.add_argument("--ending", default=".txt", help="of the caption files (default: .txt)")
    what = made.add_subparsers(dest="what", required=True, metavar="WHAT")
    for kind, edit in edits.KINDS.items():
        sub = what.add_parser(kind, help=(edit.__doc__ or "").splitlines()[0])
        for field in dataclasses.fields(edit):  # type: ignore[arg-type]
            sub.add_argument(f"--{field.name}", **_option(field))
        sub.add_argument("--words", default="", help="only where these words stand in caption or name")
        sub.add_argument("--only_show", action="store_true", help="show what would change and write nothing")
    what.add_parser("undo", help="Take the last step back.")
    what.add_parser("redo", help="Do again what was undone last.")
    what.add_parser("tags", help="Count the tags.")
    return made


def _option(field: dataclasses.Field[Any]) -> dict[str, Any]:
    if field.type == "bool":
        return {"action": "store_true"}
    is_needed = field.default is dataclasses.MISSING
    return {
        "type": int if field.type == "int" else str,
        "required": is_needed,
        **({} if is_needed else {"default": field.default}),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """0 when it is done, 2 when whoever called it can put something right."""
    given = vars(parser().parse_args(argv))
    folder, what = ImageFolder(given.pop("folder"), given.pop("ending")), given.pop("what")
    try:
        if what == "tags":
            for tag, count in edits.counted(item.caption.text for item in folder.items()).items():
                print(f"{count:>7}  {tag}")
        elif what in ("undo", "redo"):
            step = folder.undo() if what == "undo" else folder.redo()
            print(f"{'Undone' if what == 'undo' else 'Done again'}: {step.words} ({len(step.changes)} captions).")
        else:
            _edit(folder, what, given)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


def _edit(folder: ImageFolder, what: str, given: dict[str, Any]) -> None:
    search, only_show = Search(words=given.pop("words")), given.pop("only_show")
    edit = edits.read(what, given)
    _say((folder.tried if only_show else folder.apply)(edit, search), only_show)


def _say(outcome: Outcome, only_shown: bool) -> None:
    for item, after in outcome.changes[:MOST_SHOWN]:
        print(f"{item.name}\n  - {item.caption.text}\n  + {after}")
    for sentence in outcome.skipped:
        print(f"Note: {sentence}", file=sys.stderr)
    done = "would change" if only_shown else "were changed"
    print(f"{len(outcome.changes)} captions of {outcome.looked_at} images {done}.")


if __name__ == "__main__":
    sys.exit(main())
