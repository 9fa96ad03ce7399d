"""The nearest product, number by number, of two low-rank matrices: what a LoHa holds of a weight's change.

D ~ X1 * X2 with X1 = A1 B1 and X2 = A2 B2. With three of the four matrices fixed, each row of the fourth is a least
squares problem of R unknowns, so they are solved in turn (alternating least squares), and the error never rises. It
begins at the nearest matrix of rank R for X1 and ones for X2: a LoHa is never farther from D than a LoRA of its rank.

Shapes: R rank, O and I a layer's outputs and inputs (of a 3x3 convolution, its inputs times 9).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .factors import of_matrix

ROUNDS = 12
RIDGE = 1e-7
"""Of the mean of a system's diagonal: keeps it solvable and changes nothing that can be seen."""


@dataclass(frozen=True)
class Hadamard:
    a1_OR: Tensor
    b1_RI: Tensor
    a2_OR: Tensor
    b2_RI: Tensor

    @property
    def rank(self) -> int:
        return len(self.b1_RI)

    def product(self) -> Tensor:
        return (self.a1_OR @ self.b1_RI) * (self.a2_OR @ self.b2_RI)

    def tensors(self) -> dict[str, Tensor]:
        """By their names in files; alpha is the rank, so that the product counts as it is."""
        named = {"w1_a": self.a1_OR, "w1_b": self.b1_RI, "w2_a": self.a2_OR, "w2_b": self.b2_RI}
        return {f"hada_{key}": value for key, value in named.items()} | {"alpha": torch.tensor(float(self.rank))}


def nearest(delta_OI: Tensor, rank: int, rounds: int = ROUNDS) -> Hadamard:
    """rank: at most the smaller side of the matrix."""
    scale = delta_OI.square().mean().sqrt()
    if not scale:
        return Hadamard(*(delta_OI.new_zeros(s) for s in _shapes(delta_OI, rank)))
    wanted_OI = delta_OI / scale
    a1_OR, b1_RI = of_matrix(wanted_OI).cut(rank)
    a2_OR = torch.zeros_like(a1_OR)
    a2_OR[:, 0] = 1
    b2_RI = torch.randn(b1_RI.shape, generator=torch.Generator().manual_seed(0)).to(b1_RI)
    b2_RI[0] = 1
    for _ in range(rounds):
        a2_OR = _solved(wanted_OI, a1_OR @ b1_RI, b2_RI)
        b2_RI = _solved(wanted_OI.T, (a1_OR @ b1_RI).T, a2_OR.T).T
        a1_OR = _solved(wanted_OI, a2_OR @ b2_RI, b1_RI)
        b1_RI = _solved(wanted_OI.T, (a2_OR @ b2_RI).T, a1_OR.T).T
    return _balanced(a1_OR, b1_RI, a2_OR, b2_RI, float(scale))


def _shapes(delta_OI: Tensor, rank: int) -> list[tuple[int, int]]:
    out, into = delta_OI.shape
    return [(out, rank), (rank, into)] * 2


def _solved(wanted_OI: Tensor, other_OI: Tensor, b_RI: Tensor) -> Tensor:
    """A with the least |wanted - (A b) * other|, row by row from its normal equations."""
    pairs_RRI = b_RI[:, None] * b_RI[None]
    systems_ORR = torch.einsum("oi,rsi->ors", other_OI.square(), pairs_RRI)
    right_OR = (wanted_OI * other_OI) @ b_RI.T
    ridge = RIDGE * systems_ORR.diagonal(dim1=1, dim2=2).mean().clamp(min=1e-12)
    identity_RR = torch.eye(len(b_RI), dtype=b_RI.dtype, device=b_RI.device)
    return torch.linalg.solve(systems_ORR + ridge * identity_RR, right_OR[..., None])[..., 0]


def _balanced(a1_OR: Tensor, b1_RI: Tensor, a2_OR: Tensor, b2_RI: Tensor, scale: float) -> Hadamard:
    """The same product with all four of about one size, so that no number gets tiny in fp16."""
    sizes = [float(tensor.square().mean().sqrt()) or 1.0 for tensor in (a1_OR, b1_RI, a2_OR, b2_RI)]
    each = (scale * sizes[0] * sizes[1] * sizes[2] * sizes[3]) ** 0.25
    parts = zip((a1_OR, b1_RI, a2_OR, b2_RI), sizes, strict=True)
    return Hadamard(*(tensor * (each / size) for tensor, size in parts))
