"""Mask images: one for each image, under the same name in a folder of their own. No torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..config.schema import Problem
from ..errors import UserError
from . import headers
from .folders import MOST_NAMED
from .headers import few
from .index import Index
from .records import Picture, Subset

KEY = "conditioning_data_dir"


@dataclass
class _Folder:
    """Masks by the name of their image, and which were asked for."""

    masks: dict[str, Path]
    wanted: set[str] = field(default_factory=set)


class Masks:
    """The mask folders of a data set; several subsets may share one."""

    def __init__(self) -> None:
        self._folders: dict[Path, _Folder] = {}
        self._problems: list[Problem] = []

    def added(self, subset: Subset, pictures: list[Picture]) -> list[Picture]:
        """Each picture with its mask, where the subset has masks."""
        if subset.mask_dir is None:
            return pictures
        folder = self._folder(subset.mask_dir)
        folder.wanted |= {picture.path.stem for picture in pictures}
        missing = [picture.path.name for picture in pictures if picture.path.stem not in folder.masks]
        if missing and folder.masks:
            have = "has" if len(missing) == 1 else "have"
            message = f"{few(missing)} of {subset.name} {have} no mask in {subset.mask_dir}"
            self._problems.append(Problem(KEY, f"{message}; add one under the same name for each image."))
        return [picture._replace(mask_path=folder.masks.get(picture.path.stem)) for picture in pictures]

    def problems(self) -> Iterator[Problem]:
        """What is missing, and masks that belong to no image of any subset."""
        yield from self._problems
        for place, folder in self._folders.items():
            extra = [folder.masks[stem].name for stem in sorted(folder.masks.keys() - folder.wanted)]
            if extra:
                belong = "belongs" if len(extra) == 1 else "belong"
                yield Problem(KEY, f"{few(extra)} in {place} {belong} to no image; take out what isn't a mask.")

    def _folder(self, place: Path) -> _Folder:
        if place not in self._folders:
            self._folders[place] = _Folder(self._listed(place))
        return self._folders[place]

    def _listed(self, place: Path) -> dict[str, Path]:
        try:
            names = self._looked_at(place)
        except OSError as error:
            message = f"The mask folder {place} can't be read: {error.strerror}; check its name."
            self._problems.append(Problem(KEY, message))
            return {}
        if not names:
            message = f"The mask folder {place} holds no images; put a mask for each image there."
            self._problems.append(Problem(KEY, message))
        return {Path(name).stem: place / name for name in names}

    def _looked_at(self, place: Path) -> list[str]:
        """The names of the masks, after saying which are broken. Raises OSError."""
        with os.scandir(place) as entries:
            files = {entry.name: entry for entry in entries if entry.is_file()}
        names, index = headers.images_among(files), Index(place)
        heads = index.facts("headers", [files[name] for name in names], headers.look)
        index.save()
        broken = [str(head) for head in heads if isinstance(head, UserError)]
        self._problems += [Problem(KEY, sentence) for sentence in broken[:MOST_NAMED]]
        if len(broken) > MOST_NAMED:
            self._problems.append(Problem(KEY, f"{len(broken) - MOST_NAMED} more files in {place} are broken."))
        return names
