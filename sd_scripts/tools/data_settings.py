"""What can be set of the tools for pictures, captions and whole models. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator

from ..config.schema import Aliases, Ge, Group, Problem, Ui
from .settings import Precision, must_be_named, must_not_be_read

SIZE = re.compile(r"[1-9]\d*x[1-9]\d*")


def split_commas(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def must_be_json(key: str, value: str, what: str) -> Iterator[Problem]:
    yield from must_be_named(key, value, what)
    if value and not value.endswith(".json"):
        yield Problem(key, f"{value} does not end in .json; add that ending.")


class _IntoMetadata(Group):
    """What both tools share that gather texts in a metadata file."""

    train_data_dir: Annotated[str, Ui(kind="folder", basic=True, label="Folder")] = ""
    """The folder with the pictures and their texts."""

    out_json: Annotated[str, Ui(kind="file", basic=True, label="Metadata file to write")] = ""
    """The metadata file to write (.json), which fine-tuning reads as in_json."""

    in_json: Annotated[str | None, Ui(kind="file", basic=True, label="Metadata file to read")] = None
    """A metadata file whose entries are kept. Empty: those of the file to write, where it is there already."""

    full_path: bool = False
    """Name the pictures by whole paths. Otherwise training must be told their folder too."""

    recursive: bool = False
    """Look into the folders inside the folder, too."""

    debug: bool = False
    """List what is written for every picture."""

    def relations(self) -> Iterator[Problem]:
        yield from must_be_named("train_data_dir", self.train_data_dir, "the folder with the pictures")
        yield from must_be_json("out_json", self.out_json, "the metadata file to write")


class CaptionsToMetadataSettings(_IntoMetadata):
    title: ClassVar[str] = "Captions to metadata"

    caption_extension: Annotated[str, Aliases("caption_extention"), Ui(basic=True)] = ".caption"
    """The ending of the caption files. Usual: .caption or .txt."""


class TagsToMetadataSettings(_IntoMetadata):
    title: ClassVar[str] = "Tags to metadata"

    caption_extension: Annotated[str, Aliases("caption_extention"), Ui(basic=True)] = ".txt"
    """The ending of the files with tags, which have commas between them. Usual: .txt."""


class CleanSettings(Group):
    title: ClassVar[str] = "Clean metadata"

    in_json: Annotated[str, Ui(kind="file", basic=True, label="Metadata file to read")] = ""
    """The metadata file to clean."""

    out_json: Annotated[str, Ui(kind="file", basic=True, label="Metadata file to write")] = ""
    """The metadata file to write (.json)."""

    debug: bool = False
    """List every text that changes, before and after."""

    def relations(self) -> Iterator[Problem]:
        yield from must_be_named("in_json", self.in_json, "the metadata file to clean")
        yield from must_be_json("out_json", self.out_json, "the metadata file to write")


class ResizeImagesSettings(Group):
    title: ClassVar[str] = "Resize pictures"

    src_img_folder: Annotated[str, Ui(kind="folder", basic=True, label="Folder to read")] = ""
    """The folder with the pictures, which stay as they are."""

    dst_img_folder: Annotated[str, Ui(kind="folder", basic=True, label="Folder to write")] = ""
    """The folder for the smaller copies; each is named after the picture and the resolution: cat+512x512.png."""

    max_resolution: Annotated[
        tuple[str, ...], BeforeValidator(split_commas), Ui(basic=True, label="Largest resolutions")
    ] = ("512x512", "384x384", "256x256", "128x128")
    """Widths and heights with commas between, such as 512x512,256x256: a copy for each, with at most as many pixels
    and the shape of the picture. Smaller pictures keep their size."""

    divisible_by: Annotated[int, Ge(1)] = 1
    """Cut the edges so that both sides can be divided by this. Usual: 64; 1 cuts nothing."""

    interpolation: Literal["area", "cubic", "lanczos4", "nearest", "linear", "box"] | None = None
    """How pixels are computed. Empty: area, which is right for making pictures smaller."""

    save_as_png: bool = False
    """Write PNG, whatever the picture was. Otherwise a JPEG stays a JPEG, of the best quality."""

    copy_associated_files: Annotated[bool, Ui(basic=True)] = False
    """Copy captions and other files of a picture's name along, under the copy's name."""

    def relations(self) -> Iterator[Problem]:
        yield from must_be_named("src_img_folder", self.src_img_folder, "the folder with the pictures")
        yield from must_be_named("dst_img_folder", self.dst_img_folder, "the folder for the copies")
        yield from must_not_be_read(self.dst_img_folder, self.src_img_folder, key="dst_img_folder", what="folders")
        for size in self.max_resolution:
            if not SIZE.fullmatch(size):
                yield Problem("max_resolution", f"{size!r} is not a resolution; write width and height as 512x512.")
        if not self.max_resolution:
            yield Problem("max_resolution", "It is empty; give one resolution or more, such as 512x512.")


class ConvertModelSettings(Group):
    title: ClassVar[str] = "Convert a model"

    model_to_load: Annotated[str, Ui(kind="file", basic=True, label="Model")] = ""
    """The model: a file in the original layout, a diffusers folder or a Hugging Face ID."""

    model_to_save: Annotated[str, Ui(kind="file", basic=True, label="Save to")] = ""
    """What to write: a file that ends in .safetensors or .ckpt is in the original layout, anything else is a folder
    in the layout of diffusers."""

    save_precision_as: Annotated[Precision | None, Ui(basic=True, label="Save precision")] = None
    """What numbers are saved as. Empty: as the model holds them."""

    def relations(self) -> Iterator[Problem]:
        yield from must_be_named("model_to_load", self.model_to_load, "the model to convert")
        yield from must_be_named("model_to_save", self.model_to_save, "the file or folder to write")
        yield from must_not_be_read(self.model_to_save, self.model_to_load, key="model_to_save")
