"""Training new words: vectors for tokens that the text encoders did not have, in models that stay as they are.

Source: Gal et al., "An Image is Worth One Word" (2022). With `xti` each attention network reads its own vectors.
Shapes: L layers (1 without xti), V vectors, D channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .. import draws
from ..adapters import io
from ..adapters.modelspec import TEXTUAL_INVERSION
from ..config.schema import Notice
from ..config.textual_inversion import file_name
from ..errors import UserError
from ..words import files, layers
from ..words.vectors import Vectors, like, repeated
from ..words.vocabulary import Vocabulary
from .base import Method, Place, weight_dtype

if TYPE_CHECKING:
    from ..config.train_config import TrainConfig
    from ..families.base import ModelFamily


class TextualInversion(Method):
    """The words of the settings, known to every text encoder of the family from now on.

    Raises UserError where a word is known already, and where `weights` does not fit.
    """

    def __init__(self, config: TrainConfig, family: ModelFamily, seed: int = 0) -> None:
        super().__init__(config, family, seed)
        self.settings = config.textual_inversion
        self.places = _places(self.settings.words)
        self.layers = layers.names(family.unet) if self.settings.xti else {}
        self.parts = files.parts(len(family.text_encoders))
        self._check_words()
        start = self._start(seed)
        self.vectors = nn.ModuleDict()
        for number, part in enumerate(self.parts):
            self._teach(number, part, start[part].to(weight_dtype(config)))
        if self.layers:
            layers.separate(family.unet, list(self.layers.values()))
            family.reader = layers.LayerReader(len(self.layers))

    def _check_words(self) -> None:
        """Other programs can't add a word that the tokenizer has as it is; one that it has at the end of a text loses
        the meaning that it had."""
        for word in self.settings.words:
            known = self.family.tokenizers[0].get_vocab()
            if {word, word.lower()} & known.keys():
                raise UserError(
                    f"token_string: The model knows {word!r} already; choose a word that it does not, such as {word}1."
                )
            if f"{word.lower()}</w>" in known:
                message = f"The model knows {word!r} already; with the new word it has only the new meaning."
                self.notices.append(Notice("token_string", message))

    def _teach(self, number: int, part: str, start_LVD: Tensor) -> None:
        embedding = self.family.text_encoders[number].get_input_embeddings()
        vectors = Vectors(start_LVD.to(embedding.weight.device), embedding)
        vectors.attach()
        self.vectors[part] = vectors
        ids = {word.lower(): range(vectors.first + a, vectors.first + b) for word, (a, b) in self.places.items()}
        self.family.tokenizers[number] = Vocabulary(self.family.tokenizers[number], ids, self.settings.pattern)

    def _start(self, seed: int) -> dict[str, Tensor]:
        """Part -> (L, V, D), all words' vectors one after the other."""
        of_words = [self._read(word) if self.settings.weights else self._initial(word, seed) for word in self.places]
        return {part: torch.cat([rows[part] for rows in of_words], 1) for part in self.parts}

    def _read(self, word: str) -> files.Rows:
        file = Path(self.settings.weights[list(self.places).index(word)])
        rows = files.read(file, self.parts, self.layers)
        wanted = self.settings.words[word]
        for part, encoder in zip(self.parts, self.family.text_encoders, strict=True):
            _, count, width = rows[part].shape
            if count != wanted:
                raise UserError(
                    f"num_vectors_per_token: It is {wanted}, but {file} holds {count} vectors for {word}; set {count}."
                )
            if width != encoder.get_input_embeddings().embedding_dim:
                raise UserError(f"weights: {file} was trained for another kind of model than this one; choose another.")
        return rows

    def _initial(self, word: str, seed: int) -> files.Rows:
        phrase, count = self.settings.starts.get(word), self.settings.words[word]
        rows = {}
        for number, part in enumerate(self.parts):
            known_VD = self.family.text_encoders[number].get_input_embeddings().weight.detach()
            if phrase is None:
                rows_VD = like(known_VD, count, draws.generator(seed, "new word", number, self.places[word][0]))
            else:
                ids = self.family.tokenizers[number](phrase, add_special_tokens=False).input_ids
                self._say_how_many(phrase, len(ids), count, number == 0)
                rows_VD = repeated(known_VD[ids].float(), count)
            rows[part] = rows_VD.expand(max(1, len(self.layers)), -1, -1).clone()
        return rows

    def _say_how_many(self, phrase: str, tokens: int, count: int, is_first: bool) -> None:
        if tokens > count and is_first:
            message = f"{phrase!r} has {tokens} tokens for {count} vectors, so only the first {count} count."
            self.notices.append(Notice("init_word", message))
        if 1 < tokens < count and is_first:
            message = f"{phrase!r} has {tokens} tokens for {count} vectors, so they are repeated."
            self.notices.append(Notice("init_word", message))

    def trainable_groups(self) -> list[dict[str, Any]]:
        rate = self.config.optimizer.learning_rate
        return [{"name": part, "params": [self.vectors[part].weight], "lr": rate} for part in self.parts]

    @property
    def trained(self) -> nn.Module:
        return self.vectors

    @property
    def trains_text_encoder(self) -> bool:
        return True

    def stop_text_encoder(self) -> None:
        """It is all that is trained, so it goes on."""

    def state_dict(self) -> dict[str, Tensor]:
        """Of each text encoder what it learned of each word, (L, V, D): by the words, which the vectors alone don't
        tell, in their order, in which the optimizer knows them."""
        return {
            f"{part}.{number}.{word}": self.vectors[part].weight.detach()[:, first:end]
            for part in self.parts
            for number, (word, (first, end)) in enumerate(self.places.items())
        }

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        own = self.state_dict()
        if tensors.keys() != own.keys():
            raise UserError(f"they teach {_words(tensors)}, not {_words(own)}")
        for name, rows_LVD in own.items():
            found, wanted = tensors[name].shape[:2], rows_LVD.shape[:2]
            if found != wanted:
                raise UserError(f"they have {_product(found)} vectors for {_words([name])}, not {_product(wanted)}")
            rows_LVD.copy_(tensors[name])

    def files(self, path: Path) -> list[Path]:
        """Of several words each has its own."""
        words = list(self.places)
        return [path] if len(words) == 1 else [path.with_stem(f"{path.stem}_{file_name(word)}") for word in words]

    def save(self, path: Path, progress: Place) -> None:
        dtype = io.DTYPES.get(self.config.saving.save_precision or "")
        for (word, (first, end)), file in zip(self.places.items(), self.files(path), strict=True):
            rows = {part: self.vectors[part].weight[:, first:end] for part in self.parts}
            tensors = {
                name: value.detach().to("cpu", dtype or value.dtype).contiguous()
                for name, value in files.to_file(rows, self.layers).items()
            }
            io.save(file, tensors, self.metadata(word, progress))

    def metadata(self, word: str, progress: Place) -> dict[str, str]:
        """ss_ fields and ModelSpec fields of a word's file."""
        fields, spec = self.described(progress, TEXTUAL_INVERSION, metadata_trigger_phrase=word)
        return fields | spec


def _words(names: Iterable[str]) -> str:
    """Those of a state, from the names of its tensors."""
    return " ".join(dict.fromkeys(name.split(".", 2)[-1] for name in sorted(names)))


def _product(layers_and_vectors: Sequence[int]) -> str:
    return " x ".join(map(str, layers_and_vectors))


def _places(words: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Word -> its first vector, and the first after it."""
    places, first = {}, 0
    for word, count in words.items():
        places[word] = (first, first + count)
        first += count
    return places
