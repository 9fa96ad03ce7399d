"""Hugging Face: saved files go up, states to resume from come down, all through huggingface_hub."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.saving import SavingConfig
from ..errors import UserError
from .failures import first_line

if TYPE_CHECKING:
    from huggingface_hub import HfApi


class HubError(UserError):
    """Hugging Face did not do what was asked of it."""


@dataclass(frozen=True)
class Place:
    """A folder in a repository: name/repository/path:revision:kind, of which the last two can be left out."""

    repo_id: str
    path: str
    revision: str = "main"
    repo_type: str = "model"


def parse_place(text: str) -> Place:
    """Raises HubError."""
    address, *more = text.strip().split(":")
    parts = [part for part in address.split("/") if part]
    if len(parts) < 3 or len(more) > 2:
        raise HubError(f"resume: {text!r} is no place on Hugging Face; write it as name/repository/path:revision:kind.")
    return Place("/".join(parts[:2]), "/".join(parts[2:]), *(word for word in more))


def _api(saving: SavingConfig) -> HfApi:
    from huggingface_hub import HfApi

    token = saving.huggingface_token
    return HfApi(token=token.get_secret_value() if token else os.environ.get("HF_TOKEN"))


def download_state(saving: SavingConfig) -> Path:
    """The state that `resume` names, in huggingface_hub's own cache. Raises HubError."""
    place = parse_place(saving.resume or "")
    try:
        root = _api(saving).snapshot_download(
            place.repo_id, repo_type=place.repo_type, revision=place.revision, allow_patterns=f"{place.path}/*"
        )
    except Exception as error:  # noqa: BLE001 - network, rights and names fail in many types
        raise HubError(
            f"resume: {saving.resume} could not be fetched from Hugging Face: {first_line(error)}."
        ) from error
    return Path(root) / place.path


@dataclass
class Uploader:
    """Brings files to the repository, at once or in the background, in the order in which they were saved."""

    saving: SavingConfig
    notice: Callable[[str, str], None]
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "upload"))
    _running: list[Future[Any]] = field(default_factory=list)

    def prepare(self) -> None:
        """Makes the repository where it does not exist, so that wrong names and rights show before training. Raises
        HubError."""
        saving = self.saving
        try:
            _api(saving).create_repo(
                str(saving.huggingface_repo_id),
                repo_type=saving.huggingface_repo_type,
                private=saving.huggingface_repo_visibility != "public",
                exist_ok=True,
            )
        except Exception as error:  # noqa: BLE001 - network, rights and names fail in many types
            raise HubError(
                f"huggingface_repo_id: {saving.huggingface_repo_id} can't be written to on Hugging Face "
                f"({first_line(error)}); check the name and the token."
            ) from error

    def upload(self, path: Path) -> None:
        """A file or a folder."""
        job = self._threads.submit(self._upload, path)
        self._running.append(job)
        if not self.saving.async_upload:
            job.result()

    def _upload(self, path: Path) -> None:
        saving = self.saving
        inside = "/".join(part for part in (saving.huggingface_path_in_repo, path.name) if part)
        common: Any = {
            "path_in_repo": inside,
            "repo_id": str(saving.huggingface_repo_id),
            "repo_type": saving.huggingface_repo_type,
        }
        try:
            if path.is_dir():
                _api(saving).upload_folder(folder_path=path, **common)
            else:
                _api(saving).upload_file(path_or_fileobj=path, **common)
        except Exception as error:  # noqa: BLE001 - what was saved is safe on disk, and training is worth more than its copy
            self.notice("huggingface_repo_id", f"{path.name} could not be uploaded: {first_line(error)}.")

    def wait(self) -> None:
        """Until everything is up."""
        for job in self._running:
            job.result()
        self._threads.shutdown()
