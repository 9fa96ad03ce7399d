from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from .schema import Ge, Group, Notice, Problem, SecretStr, Ui

NOT_IN_A_NAME = '/\\:*?"<>|'


class SavingConfig(Group):
    title: ClassVar[str] = "Saving"

    output_dir: Annotated[str, Ui(label="Output folder", kind="folder", basic=True)] = "outputs"
    """Where the trained files, the states, the samples and the run's own folder go. It is made where it does not
    exist."""

    output_name: Annotated[str | None, Ui(basic=True)] = None
    """Name of the trained file, without ending. Empty: last."""

    save_model_as: Annotated[
        Literal["safetensors", "ckpt", "pt", "diffusers", "diffusers_safetensors"], Ui(label="File format")
    ] = "safetensors"
    """safetensors can be read everywhere and can't hold harmful code; ckpt and pt are for old programs. A whole model
    can also be saved as a diffusers folder, with its weights as .bin or as .safetensors files."""

    save_precision: Literal["float", "fp16", "bf16"] | None = None
    """Numbers in the saved file: fp16 for small files that work everywhere, float for 32 bits. Empty: as they were
    trained."""

    save_every_n_epochs: Annotated[int | None, Ge(1), Ui(basic=True)] = None
    """Save the model so far after every so many epochs. The last one gets the plain name. Empty: off."""

    save_every_n_steps: Annotated[int | None, Ge(1), Ui(basic=True)] = None
    """Save the model so far after every so many steps. Empty: off."""

    save_n_epoch_ratio: Annotated[int | None, Ge(1)] = None
    """Save at least this many times, spread over all epochs, in place of every so many epochs. Empty: off."""

    save_last_n_epochs: Annotated[int | None, Ge(1)] = None
    """Keep only this many of the files saved at epochs and delete older ones. Empty: keep all."""

    save_last_n_epochs_state: Annotated[int | None, Ge(1)] = None
    """The same for states. Empty: as for the files."""

    save_last_n_steps: Annotated[int | None, Ge(1)] = None
    """Delete files saved at steps once they are more than this many steps old. Empty: keep all."""

    save_last_n_steps_state: Annotated[int | None, Ge(1)] = None
    """The same for states. Empty: as for the files."""

    save_state: bool = False
    """With every saved file also save the state of the training, from which it can be resumed exactly."""

    save_state_on_train_end: bool = False
    """Save the state at the end of the training, to go on from later with more steps or epochs."""

    resume: Annotated[str | None, Ui(label="Resume from state", kind="folder")] = None
    """Go on from this saved state: its weights, optimizer, epoch, step and place in the images. Empty: start anew."""

    training_comment: str | None = None
    """A remark that is kept in the trained file."""

    no_metadata: bool = False
    """Keep how it was trained out of the file, except for what programs need to use it."""

    metadata_title: str | None = None
    """Title kept in the trained file. Empty: the output name."""

    metadata_author: str | None = None
    """Author kept in the trained file."""

    metadata_description: Annotated[str | None, Ui(lines=3)] = None
    """Description kept in the trained file."""

    metadata_license: str | None = None
    """License kept in the trained file."""

    metadata_tags: str | None = None
    """Words to find the trained file by, with commas between, kept in it."""

    metadata_usage_hint: str | None = None
    """How the trained file is best used, kept in it."""

    metadata_thumbnail: Annotated[str | None, Ui(kind="file")] = None
    """A small picture kept in the trained file: an image file, or a data URL."""

    metadata_merged_from: str | None = None
    """Names of the models that the trained file was merged from, kept in it."""

    metadata_trigger_phrase: str | None = None
    """The words that call up what was learned, kept in the trained file."""

    metadata_preprocessor: str | None = None
    """How inputs are prepared for the model, kept in the trained file."""

    metadata_is_negative_embedding: str | None = None
    """Whether what was trained belongs into negative prompts (true or false), kept in the trained file."""

    huggingface_repo_id: Annotated[str | None, Ui(label="Hugging Face repository")] = None
    """Upload the saved files to this repository (name/repository), which is made where it does not exist. Empty: no
    upload."""

    huggingface_repo_type: Annotated[Literal["model", "dataset", "space"] | None, Ui(label="Kind of repository")] = None
    """What sort of repository it is. Empty: model."""

    huggingface_path_in_repo: Annotated[str | None, Ui(label="Folder in the repository")] = None
    """Upload into this folder. Empty: the top."""

    huggingface_token: Annotated[SecretStr | None, Ui(label="Hugging Face token", kind="secret")] = None
    """Access token, for uploads with the right to write; models are fetched with it too. It is never stored in a file.
    Empty: the one this machine is logged in with."""

    huggingface_repo_visibility: Annotated[
        Literal["public", "private"] | None, Ui(label="Visibility of the repository")
    ] = None
    """Who can see a repository that is made for the upload. Empty: private."""

    save_state_to_huggingface: Annotated[bool, Ui(label="Upload states")] = False
    """Upload the saved states too."""

    resume_from_huggingface: Annotated[bool, Ui(label="Resume from Hugging Face")] = False
    """The state to resume from is a place on Hugging Face, written name/repository/path:revision:kind; the last two
    may be left out."""

    async_upload: Annotated[bool, Ui(label="Upload in the background")] = False
    """Go on training while files are uploaded."""

    @property
    def stem(self) -> str:
        """Name of the final file or folder, without its ending."""
        return self.output_name or "last"

    @property
    def extension(self) -> str:
        """Ending of what is saved; none where it is a folder."""
        return "" if self.save_model_as.startswith("diffusers") else "." + self.save_model_as

    def relations(self) -> Iterator[Problem]:
        if not self.output_dir.strip():
            yield Problem("output_dir", "It is empty; give the folder that the trained files shall go to.")
        wrong = [letter for letter in NOT_IN_A_NAME if letter in (self.output_name or "")]
        if wrong:
            yield Problem(
                "output_name",
                f"{self.output_name!r} can't be the name of a file because of {wrong[0]!r}; leave that out.",
            )
        if self.save_n_epoch_ratio and self.save_every_n_epochs:
            yield Notice("save_every_n_epochs", "save_n_epoch_ratio is set too and decides when files are saved.")
        yield from self._without_what_they_need()

    def _without_what_they_need(self) -> Iterator[Problem]:
        by_epoch = self.save_every_n_epochs or self.save_n_epoch_ratio
        for key in ("save_last_n_epochs", "save_last_n_epochs_state"):
            if getattr(self, key) and not by_epoch:
                yield Notice(key, "Nothing is saved at epochs, so it has no effect.")
        for key in ("save_last_n_steps", "save_last_n_steps_state"):
            if getattr(self, key) and not self.save_every_n_steps:
                yield Notice(key, "Nothing is saved at steps, so it has no effect.")
        if self.resume_from_huggingface and not self.resume:
            yield Problem(
                "resume", "resume_from_huggingface is on; give the place as name/repository/path, or turn that off."
            )
        for key in (
            "save_state_to_huggingface",
            "async_upload",
            "huggingface_path_in_repo",
            "huggingface_repo_visibility",
        ):
            if getattr(self, key) and not self.huggingface_repo_id:
                yield Notice(key, "It has no effect unless a Hugging Face repository is given.")
