from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BeforeValidator

from .method_kind import SMALL, MethodKind
from .schema import AppliesTo, Ge, Group, Le, Notice, Problem, Ui, split_numbers

if TYPE_CHECKING:
    from .model_sizes import Sizes
    from .train_config import TrainConfig

HERE = AppliesTo(methods=("textual_inversion",))
MOST_VECTORS = 75
"""As many as a caption has tokens in one piece."""
ATTENTIONS = {"sd1": 16, "sd2": 16, "sdxl": 11}
"""Networks of a U-Net that can each read a new word in its own way."""
NOT_IN_A_WORD = "()[]{}|\\"
"""Letters to which captions and prompts give a meaning of their own."""
NOT_IN_A_NAME = '/\\:*?"<>|'
"""Letters that names of files can't have everywhere."""


def _split_words(value: object) -> object:
    """`bloop, gleep` or `bloop gleep` -> both; other values pass."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


def _split_phrases(value: object) -> object:
    """`one eyed monster, cat` -> both; other values pass."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _one_file(value: object) -> object:
    """A text is one path, blanks and all."""
    return [value.strip()] if isinstance(value, str) else value


Count = Annotated[int, Ge(1), Le(MOST_VECTORS)]
Counts = Annotated[tuple[Count, ...], BeforeValidator(split_numbers)]


class TextualInversionConfig(Group):
    title: ClassVar[str] = "Textual inversion"

    token_string: Annotated[tuple[str, ...], BeforeValidator(_split_words), HERE, Ui(label="New word", basic=True)] = ()
    """The word that shall stand for what is learned, in captions and later in prompts: one that the model does not
    know yet, such as bloop1. Several words, with commas between, are learned together."""

    init_word: Annotated[
        tuple[str, ...], BeforeValidator(_split_phrases), HERE, Ui(label="Start from", basic=True)
    ] = ()
    """Words that the model knows for something similar, such as monster: the new word starts with their meaning. With
    several new words one for all, or one for each with commas between. Empty: it starts at random."""

    num_vectors_per_token: Annotated[Counts, HERE, Ui(label="Vectors", basic=True)] = (1,)
    """How much room the new word has for its meaning: it takes the place of this many tokens in captions and prompts.
    1 to 8 is usual. With several new words one number for all, or one for each."""

    use_object_template: Annotated[bool, HERE, Ui(label="Sentences about a thing", basic=True)] = False
    """Train with ready-made sentences about a thing of that name in place of the captions; regularization images keep
    theirs. With several new words, a folder's name says which one its images show."""

    use_style_template: Annotated[bool, HERE, Ui(label="Sentences about a style", basic=True)] = False
    """The same with sentences about a style of that name."""

    weights: Annotated[tuple[str, ...], BeforeValidator(_one_file), HERE, Ui(label="Go on from", kind="file")] = ()
    """The file of a word that was learned before, here or by another program, to go on from. With several new words
    one file for each. Empty: starts from init_word."""

    xti: Annotated[bool, HERE, Ui(label="A meaning for each layer (XTI)")] = False
    """Learn a meaning for each attention network of the U-Net (P+): it learns more, but few programs read such files,
    and captions take many times as long to encode. Off: one meaning for all of them."""

    @property
    def words(self) -> dict[str, int]:
        """New word -> how many vectors it has."""
        counts = self.num_vectors_per_token
        return dict(
            zip(self.token_string, counts * len(self.token_string) if len(counts) == 1 else counts, strict=True)
        )

    @property
    def starts(self) -> dict[str, str]:
        """New word -> the words that it starts from, where there are any."""
        given = self.init_word
        return dict(zip(self.token_string, given * len(self.token_string) if len(given) == 1 else given, strict=False))

    @property
    def pattern(self) -> re.Pattern[str]:
        """Finds the new words in a text, as whole words in any case; the longest first, where one begins another."""
        words = sorted(self.token_string, key=len, reverse=True)
        return re.compile("|".join(_whole(word) for word in words) or r"(?!)", re.IGNORECASE)

    @property
    def uses_sentences(self) -> bool:
        return self.use_object_template or self.use_style_template

    @property
    def output_name(self) -> str:
        """What files are called that are given no name: as the word, which is how other programs call it up."""
        return file_name(self.token_string[0]) if len(self.token_string) == 1 else "words"

    def problems_if_chosen(self) -> Iterator[Problem]:
        """What must hold where this method is chosen."""
        if not self.token_string:
            yield Problem("token_string", "It is empty; give the word that shall stand for what is learned.")
        yield from self._bad_words()
        for key, noun in (("init_word", "starts"), ("num_vectors_per_token", "numbers"), ("weights", "files")):
            yield from self._uneven(key, noun)
        if not self.init_word and not self.weights:
            yield Notice("init_word", "It is empty, so the new word starts at random and takes longer to learn.")
        if self.use_object_template and self.use_style_template:
            yield Notice("use_style_template", "The sentences about a thing are used, so it has no effect.")

    def _bad_words(self) -> Iterator[Problem]:
        for word in self.token_string:
            wrong = [letter for letter in NOT_IN_A_WORD if letter in word]
            if wrong:
                yield Problem(
                    "token_string", f"{word!r} holds {wrong[0]!r}, which has a meaning of its own; leave that out."
                )
        if len({word.lower() for word in self.token_string}) < len(self.token_string):
            yield Problem("token_string", "It holds the same word twice; upper and lower case make no difference.")

    def _uneven(self, key: str, noun: str) -> Iterator[Problem]:
        given, words = len(getattr(self, key)), len(self.token_string)
        for_all = given == 1 and key != "weights"
        if given and words and given != words and not for_all:
            what = "one for each" if key == "weights" else "one for each or one for all"
            yield Problem(key, f"There are {given} {noun} for {words} new words; give {what}.")
        if key == "num_vectors_per_token" and not given:
            yield Problem(key, "It is empty; give a number from 1 on.")


def problems_with(config: TrainConfig) -> Iterator[Problem]:
    """Of this method with the settings of other groups."""
    words = config.textual_inversion
    yield from words.problems_if_chosen()
    if config.optimizer.learning_rate == 0:
        yield Problem("learning_rate", "It is 0, so nothing would be trained; 5e-4 to 5e-3 is usual for new words.")
    if words.weights and config.saving.resume:
        yield Notice("weights", "The state that is resumed holds the vectors, so they have no effect.")


def _whole(word: str) -> str:
    """A pattern of the word that is not part of a longer one."""
    before = r"(?<!\w)" if re.match(r"\w", word) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", word) else ""
    return before + re.escape(word) + after


def file_name(word: str) -> str:
    """The word as a part of a file's name: `<cat-toy>` -> `cat-toy`."""
    return "".join(letter for letter in word if letter not in NOT_IN_A_NAME) or "word"


def changes_texts(config: TrainConfig) -> bool:
    return True


def trained_numbers(config: TrainConfig, sizes: Sizes) -> int:
    words, widths = config.textual_inversion, sum(sizes.parts[name].width for name in sizes.text_encoders)
    return sum(words.words.values()) * widths * (ATTENTIONS[config.family] if words.xti else 1)


KIND = MethodKind(
    name="textual_inversion",
    title="Textual inversion",
    method="textual_inversion:TextualInversion",
    saves="An embedding",
    formats=SMALL,
    problems=problems_with,
    changes_texts=changes_texts,
    way_out="turn this off",
    trained_numbers=trained_numbers,
    words=lambda config: config.textual_inversion,
    output_name=lambda config: config.textual_inversion.output_name,
)
