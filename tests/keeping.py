"""Models that tests read over and over are read from their files once; later readers get copies, which is much quicker.

A copy is what pickle makes of the model, with its tensors cloned. Tokenizers, which nothing changes, are handed out as
they are. What has changed on disk since is read again.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_kept: dict[Hashable, Callable[[], Any]] = {}


@contextmanager
def models_kept() -> Iterator[None]:
    from diffusers import ModelMixin
    from transformers import PreTrainedModel
    from transformers.tokenization_utils_base import PreTrainedTokenizerBase

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ModelMixin, "from_pretrained", _keeping(ModelMixin, _copies))
        patch.setattr(PreTrainedModel, "from_pretrained", _keeping(PreTrainedModel, _copies))
        patch.setattr(
            PreTrainedTokenizerBase, "from_pretrained", _keeping(PreTrainedTokenizerBase, lambda read: lambda: read)
        )
        yield


def _keeping(owner: type[Any], giver: Callable[[Any], Callable[[], Any]]) -> Any:
    load = owner.from_pretrained.__func__

    def from_pretrained(kind: type[Any], folder: Any, *given: Any, **more: Any) -> Any:
        if not Path(folder).is_dir():
            return load(kind, folder, *given, **more)
        key = (kind, str(folder), repr(given), repr(sorted(more.items())), _stamp(Path(folder)))
        if key not in _kept:
            _kept[key] = giver(load(kind, folder, *given, **more))
        return _kept[key]()

    return classmethod(from_pretrained)


def _stamp(folder: Path) -> Hashable:
    return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in sorted(folder.rglob("*")))


def _copies(model: Any) -> Callable[[], Any]:
    tensors: list[Any] = []
    written = io.BytesIO()
    _Pickler(written, tensors).dump(model)
    return lambda: _Unpickler(io.BytesIO(written.getvalue()), tensors).load()


class _Pickler(pickle.Pickler):
    """Leaves tensors out, and puts their numbers in a list in their place."""

    def __init__(self, file: io.BytesIO, tensors: list[Any]) -> None:
        super().__init__(file, protocol=5)
        self._tensors, self._numbers = tensors, {}

    def persistent_id(self, value: Any) -> int | None:
        import torch

        if not isinstance(value, torch.Tensor):
            return None
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self._tensors)
            self._tensors.append(value)
        return self._numbers[id(value)]


class _Unpickler(pickle.Unpickler):
    """Puts a clone in each place of a tensor, the same one where it was the same one."""

    def __init__(self, file: io.BytesIO, tensors: list[Any]) -> None:
        super().__init__(file)
        self._tensors, self._made = tensors, {}

    def persistent_load(self, number: int) -> Any:
        if number not in self._made:
            self._made[number] = self._clone(self._tensors[number])
        return self._made[number]

    @staticmethod
    def _clone(tensor: Any) -> Any:
        from torch import nn

        copy = tensor.detach().clone()
        return nn.Parameter(copy, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copy
