"""LoKr (Yeh et al. 2023, arXiv:2309.14859; Edalati et al. 2022, KronA, arXiv:2212.10650): a Kronecker product.

P = W1 (x) W2, with O = l k and I = m n, W1 (l, m) and W2 (k, n[, K, K]). Either may be a product of two low-rank
matrices: W1 = w1_a w1_b, W2 = w2_a w2_b or in Tucker form a core (r, r, K, K) with w2_a (r, k) and w2_b (r, n).
Where both stay whole there is no rank, and alpha is the rank, so that the scale is 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite

import torch
from torch import Tensor, nn

from ..config.network import NetworkConfig
from .base import Size, Target
from .factored import FactoredAdapter, is_spatial, kernel, tucker
from .factorization import split
from .weight_adapter import alpha_in, kaiming

W1, W2 = ("lokr_w1", "lokr_w1_a", "lokr_w1_b"), ("lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2")


class Lokr(FactoredAdapter):
    FILE_KEYS = (*W1, *W2, "alpha", "dora_scale")
    FLAT = ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b")
    FOLDED = ("lokr_w1", "lokr_w1_a")
    HOMOGENEOUS = ("lokr_w1", "lokr_w1_a")

    def __init__(self, target: Target, size: Size, network: NetworkConfig) -> None:
        shape = target.module.weight.shape
        (rows, k), (columns, n) = splits(shape, network.factor, network.unbalanced_factorization)
        rank, sides = min(size.rank, max(rows, columns, k, n)), kernel(shape)
        size = replace(size, rank=rank)
        low_1 = network.decompose_both and rank < max(rows, columns) / 2 and not network.full_matrix
        low_2 = rank < max(k, n) / 2 and not network.full_matrix
        if not (low_1 or low_2):
            size, network = replace(size, alpha=float(rank)), network.model_copy(update={"rs_lora": False})
        super().__init__(target, size, network)
        in_three = network.use_tucker and is_spatial(shape)
        self._declare("lokr_w1", None if low_1 else (rows, columns), (rows, rank), (rank, columns))
        if in_three:
            self._declare("lokr_w2", None if low_2 else (k, n, *sides), (rank, k), (rank, n))
            self.lokr_t2 = nn.Parameter(torch.zeros(rank, rank, *sides)) if low_2 else None
        else:
            self._declare("lokr_w2", None if low_2 else (k, n, *sides), (k, rank), (rank, n * sides_of(sides)))

    def load_training_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Where both matrices are whole there is no rank, and the alpha that a file has says nothing."""
        is_whole = hasattr(self, "lokr_w1") and hasattr(self, "lokr_w2")
        super().load_training_tensors({**tensors, "alpha": self.alpha} if is_whole else tensors)

    def _declare(self, key: str, whole: tuple[int, ...] | None, a: tuple[int, ...], b: tuple[int, ...]) -> None:
        if whole is not None:
            self.register_parameter(key, nn.Parameter(torch.zeros(whole)))
        else:
            self.register_parameter(f"{key}_a", nn.Parameter(torch.zeros(a)))
            self.register_parameter(f"{key}_b", nn.Parameter(torch.zeros(b)))

    def draw(self, generator: torch.Generator) -> None:
        """What comes last in W2 is zero, unless a trained scalar is."""
        own = {key: value for key, value in self.named_parameters() if key not in ("scalar", "dora_scale")}
        zero = "lokr_w2" if "lokr_w2" in own else "lokr_w2_b"
        for key in (*W1, *W2):
            if key in own and (key != zero or self.scalar is not None):
                kaiming(own[key], generator)

    @classmethod
    def product(cls, tensors: Mapping[str, Tensor], shape: torch.Size, weight: Tensor | None) -> Tensor:
        return kronecker(_small(tensors), _large(tensors), shape)

    @classmethod
    def is_of(cls, name: str, tensors: Mapping[str, Tensor]) -> bool:
        return (
            name.startswith(cls.PREFIX)
            and set(tensors) <= set(cls.FILE_KEYS)
            and bool(set(tensors) & {"lokr_w1", "lokr_w1_a"})
        )

    @classmethod
    def size_in_file(cls, tensors: Mapping[str, Tensor]) -> Size:
        low = tensors.get("lokr_w2_b", tensors.get("lokr_w1_b"))
        if low is None:
            alpha = alpha_in(tensors, 1)
            rank = max(1, round(alpha)) if isfinite(alpha) else 1
            return Size(rank, float(rank))
        return Size(low.shape[0], alpha_in(tensors, low.shape[0]))

    @classmethod
    def shape_in_file(cls, tensors: Mapping[str, Tensor]) -> torch.Size:
        small, large = _small(tensors), _large(tensors)
        return torch.Size((small.shape[0] * large.shape[0], small.shape[1] * large.shape[1], *large.shape[2:]))

    @classmethod
    def settings_in_file(cls, tensors: Mapping[str, Tensor], shape: torch.Size) -> dict[str, object]:
        factor, unbalanced = factor_of(shape, *_small(tensors).shape)
        return super().settings_in_file(tensors, shape) | {
            "use_tucker": "lokr_t2" in tensors, "full_matrix": "lokr_w1" in tensors and "lokr_w2" in tensors,
            "decompose_both": "lokr_w1_a" in tensors, "factor": factor, "unbalanced_factorization": unbalanced,
        }  # fmt: skip


def sides_of(sides: tuple[int, ...]) -> int:
    return torch.Size(sides).numel()


def splits(shape: torch.Size, factor: int, unbalanced: bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """((l, k), (m, n)) with O = l k and I = m n, l <= k unless `unbalanced`, and m <= n."""
    out, into = split(shape[0], factor), split(shape[1], factor)
    return (out[::-1] if unbalanced else out), into


def factor_of(shape: torch.Size, rows: int, columns: int) -> tuple[int, bool]:
    """The factor, and whether unbalanced, with which a weight of this shape gets a small matrix (rows, columns).

    Raises ValueError.
    """
    for factor in (-1, *range(1, max(rows, columns) + 1)):
        for unbalanced in (False, True):
            (own_rows, _), (own_columns, _) = splits(shape, factor, unbalanced)
            if (own_rows, own_columns) == (rows, columns):
                return factor, unbalanced
    raise ValueError(f"has a small matrix of shape {(rows, columns)}, which no factor gives")


def kronecker(small_LM: Tensor, large: Tensor, shape: torch.Size) -> Tensor:
    """W1 (x) W2 in the weight's shape. A large factor (k, n K K) of a convolution has the kernel folded into its
    columns."""
    if large.ndim == 2 and len(shape) == 4:
        large = large.reshape(large.shape[0], shape[1] // small_LM.shape[1], *shape[2:])
    return torch.kron(small_LM.reshape(*small_LM.shape, *[1] * (large.ndim - 2)), large.contiguous()).reshape(shape)


def _small(tensors: Mapping[str, Tensor]) -> Tensor:
    return tensors["lokr_w1"] if "lokr_w1" in tensors else tensors["lokr_w1_a"] @ tensors["lokr_w1_b"]


def _large(tensors: Mapping[str, Tensor]) -> Tensor:
    if "lokr_w2" in tensors:
        return tensors["lokr_w2"]
    if "lokr_t2" in tensors:
        return tucker(tensors["lokr_t2"], tensors["lokr_w2_a"], tensors["lokr_w2_b"])
    return tensors["lokr_w2_a"] @ tensors["lokr_w2_b"]
