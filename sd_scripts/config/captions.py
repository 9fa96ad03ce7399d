from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import BeforeValidator

from .schema import Aliases, AppliesTo, Ge, Group, Le, Notice, Problem, Ui


def _with_dot(value: object) -> object:
    return f".{value}" if isinstance(value, str) and value and not value.startswith(".") else value


FIXED_TEXT = AppliesTo(methods=("lora", "dreambooth", "finetune"))
"""Methods that can leave text encoders as they are."""
VARYING = ("shuffle_caption", "caption_tag_dropout_rate", "token_warmup_step", "enable_wildcard")
"""Settings by which an image's caption is another one each time."""


class CaptionConfig(Group):
    title: ClassVar[str] = "Captions"

    caption_extension: Annotated[
        str,
        BeforeValidator(_with_dot),
        Aliases("caption_extention"),
        Ui(choices=(".txt", ".caption", ".cap"), basic=True),
    ] = ".txt"
    """Ending of the files that hold captions, each beside its image and of the same name. An image without one gets
    the words of its folder's name."""

    shuffle_caption: Annotated[bool, Ui(basic=True)] = False
    """Mix up the parts of a caption between commas each time, so that their order isn't learned. For lists of tags."""

    caption_separator: str = ","
    """What divides a caption into parts."""

    keep_tokens: Annotated[int, Ge(0), Ui(label="Parts to keep in front", basic=True)] = 0
    """So many parts at the start of a caption stay in place when the others are shuffled or left out. 0: none."""

    keep_tokens_separator: Annotated[str, Ui(label="Separator of kept parts")] = ""
    """Where this text, such as |||, stands in a caption, what is before it stays in place, and after a second one
    too; it wins over the number of parts to keep. Empty: off."""

    secondary_separator: str | None = None
    """Parts joined by this text, such as ;;;, are shuffled and left out as one; then it becomes the caption
    separator. Empty: off."""

    enable_wildcard: Annotated[bool, Ui(label="Wildcards")] = False
    """Take one of {red|green|blue} at random each time, and one of the lines of a caption with several. {{ and }}
    stand for the braces themselves. Off: the first line counts, and braces are plain text."""

    caption_prefix: str | None = None
    """Put before every caption, with a space. Its parts count among those to keep. Empty: nothing."""

    caption_suffix: str | None = None
    """Put after every caption, with a space before it. Empty: nothing."""

    caption_dropout_rate: Annotated[float, Ge(0), Le(1), Ui(step=0.01)] = 0.0
    """Train this share of the images with an empty caption. 0.05 to 0.1 is usual; 0 turns it off."""

    caption_dropout_every_n_epochs: Annotated[int, Ge(0)] = 0
    """Train every so many epochs with empty captions. 0 turns it off."""

    caption_tag_dropout_rate: Annotated[float, Ge(0), Le(1), Ui(step=0.01, label="Dropout of caption parts")] = 0.0
    """Leave out each part of a caption this often; parts to keep are spared. 0 turns it off."""

    token_warmup_min: Annotated[int, Ge(1), Ui(label="Caption parts at the start")] = 1
    """With a caption warm-up, begin with so many parts."""

    token_warmup_step: Annotated[float, Ge(0), Ui(step=1, label="Caption warm-up steps")] = 0.0
    """Use only the first parts of captions in the beginning, and all of them from this step on; below 1 it is a share
    of all steps. 0 turns it off."""

    cache_text_encoder_outputs: Annotated[bool, FIXED_TEXT, Ui(label="Cache text encoder outputs")] = False
    """Encode all captions once before training and keep the result in memory: faster, and the text encoder leaves the
    video memory. Only where it is not trained and captions stay as they are; whole captions may be dropped."""

    cache_text_encoder_outputs_to_disk: Annotated[bool, FIXED_TEXT] = False
    """Keep encoded captions in files beside the images, for later runs too. What has changed since is encoded anew."""

    text_encoder_batch_size: Annotated[int, Ge(1), FIXED_TEXT] = 16
    """How many captions are encoded at once when text encoder outputs are cached."""

    @property
    def caches_texts(self) -> bool:
        return self.cache_text_encoder_outputs or self.cache_text_encoder_outputs_to_disk

    @property
    def drops_captions(self) -> bool:
        return self.caption_dropout_rate > 0 or self.caption_dropout_every_n_epochs > 0

    def relations(self) -> Iterator[Problem]:
        yield from self._cache_relations()
        if not self.caption_separator:
            yield Problem(
                "caption_separator", "It is empty; captions need something between their parts, such as a comma."
            )
        if not self.caption_extension:
            yield Problem("caption_extension", "It is empty; caption files need an ending of their own, such as .txt.")
        if self.token_warmup_min != 1 and not self.token_warmup_step:
            yield Notice("token_warmup_min", "It has no effect unless token_warmup_step is set.")
        if self.keep_tokens and self.keep_tokens_separator:
            yield Notice("keep_tokens", "It has no effect on captions that hold the keep_tokens_separator.")

    def _cache_relations(self) -> Iterator[Problem]:
        if not self.caches_texts:
            return
        for key in VARYING:
            if getattr(self, key):
                yield Problem(
                    key,
                    "It changes captions each time, so the text encoder's outputs can't be cached; "
                    "turn one of the two off.",
                )
