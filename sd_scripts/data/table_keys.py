"""Every key of a dataset file, the setting that it gives, and where in the file it may stand. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from ..config.schema import Ge, Group, Notice, Problem

Level = Literal["general", "dataset", "subset"]
Kind = Literal["dreambooth", "finetuning", "masked"]
"""What the subsets of a data set are: folders of images, metadata files, or folders with masks."""
Levels = tuple[Level, ...]

ALL: Levels = ("general", "dataset", "subset")
UPPER: Levels = ("general", "dataset")
SUBSET: Levels = ("subset",)

PRESERVED = "diff_output_preservation"
"""The attribute of images for which the model shall go on answering as it did before the training."""


class SubsetKeys(Group):
    """What only a dataset file says about its subsets."""

    title: ClassVar[str] = "Subset"

    image_dir: str | None = None
    """The folder that the images lie in. Needed, except with a metadata file of whole paths."""

    metadata_file: str | None = None
    """A .json or .jsonl file with the captions and tags of the images."""

    is_reg: bool = False
    """These are regularization images."""

    class_tokens: str | None = None
    """The caption of images that have no caption file."""

    num_repeats: Annotated[int, Ge(0)] = 1
    """How often each image is trained in an epoch. 0 leaves the subset out."""

    custom_attributes: dict[str, Any] = {}
    """Further facts about the images, which batches carry. Training acts on diff_output_preservation."""

    network_multiplier: float = 1.0
    """Known to sd-scripts, where no training reads it either."""

    def relations(self) -> Iterator[Problem]:
        if self.network_multiplier != 1.0:
            yield Notice("network_multiplier", "No training reads it, so it has no effect.")
        if not isinstance(self.custom_attributes.get(PRESERVED, False), bool):
            yield Problem("custom_attributes", f"{PRESERVED} must be true or false.")


@dataclass(frozen=True)
class Row:
    """group: attribute of TrainConfig, or "own". Levels where the key may stand, by kind of data set."""

    group: str
    setting: str
    dreambooth: Levels
    finetuning: Levels
    masked: Levels

    def levels(self, kind: Kind | None) -> Levels:
        """None: of any kind, as [general] holds for all data sets."""
        if kind is None:
            return tuple(
                level
                for level in ALL
                if any(level in of_kind for of_kind in (self.dreambooth, self.finetuning, self.masked))
            )
        return {"dreambooth": self.dreambooth, "finetuning": self.finetuning, "masked": self.masked}[kind]


def _rows(group: str, levels: Levels, *keys: str) -> dict[str, Row]:
    return {key: Row(group, key, levels, levels, levels) for key in keys}


KEYS: dict[str, Row] = {
    "batch_size": Row("dataset", "train_batch_size", UPPER, UPPER, UPPER),
    **_rows("dataset", UPPER, "resolution", "enable_bucket", "min_bucket_reso", "max_bucket_reso", "bucket_reso_steps"),
    **_rows("dataset", UPPER, "bucket_no_upscale"),
    **_rows("training", UPPER, "validation_split", "validation_seed"),
    **_rows("own", UPPER, "network_multiplier"),
    **_rows("dataset", ALL, "resize_interpolation", "color_aug", "flip_aug", "face_crop_aug_range", "random_crop"),
    **_rows("captions", ALL, "shuffle_caption", "caption_separator", "keep_tokens", "keep_tokens_separator"),
    **_rows("captions", ALL, "secondary_separator", "enable_wildcard", "caption_prefix", "caption_suffix"),
    **_rows("captions", ALL, "caption_dropout_rate", "caption_dropout_every_n_epochs", "caption_tag_dropout_rate"),
    **_rows("captions", ALL, "token_warmup_min", "token_warmup_step"),
    **_rows("own", ALL, "num_repeats", "custom_attributes"),
    "caption_extension": Row("captions", "caption_extension", ALL, (), ALL),
    "cache_info": Row("dataset", "cache_info", ALL, (), ALL),
    "class_tokens": Row("own", "class_tokens", ALL, (), ()),
    "is_reg": Row("own", "is_reg", SUBSET, (), ()),
    "image_dir": Row("own", "image_dir", SUBSET, SUBSET, SUBSET),
    "alpha_mask": Row("dataset", "alpha_mask", SUBSET, SUBSET, ()),
    "metadata_file": Row("own", "metadata_file", (), SUBSET, ()),
    "conditioning_data_dir": Row("dataset", "conditioning_data_dir", (), (), SUBSET),
}  # fmt: skip
