"""Products of thin matrices: added up exactly, and brought to another rank by singular values.

Shapes: R rank, O and I a layer's outputs and inputs (of a 3x3 convolution, its inputs times 9), K the smaller of two
sides.
The nearest matrix of a rank is that of the largest singular values (Eckart and Young 1936).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UserError
from .networks import Factors


@dataclass(frozen=True)
class Singular:
    """u_OK @ diag(s_K) @ v_KI, with s_K falling."""

    u_OK: Tensor
    s_K: Tensor
    v_KI: Tensor

    def cut(self, rank: int) -> tuple[Tensor, Tensor]:
        """The nearest up_OR and down_RI. Both get the root of the singular values, so that neither is tiny in fp16.

        A rank beyond the singular values is filled up with zeros.
        """
        root_K = self.s_K[:rank].sqrt()
        up_OR, down_RI = self.u_OK[:, :rank] * root_K, root_K[:, None] * self.v_KI[:rank]
        missing = rank - len(root_K)
        if missing > 0:
            up_OR = torch.cat([up_OR, up_OR.new_zeros(len(up_OR), missing)], dim=1)
            down_RI = torch.cat([down_RI, down_RI.new_zeros(missing, down_RI.shape[1])])
        return up_OR, down_RI


def of_product(up_OR: Tensor, down_RI: Tensor) -> Singular:
    """Of up @ down, without ever making that product: both are R thin columns, so the work is in matrices of R x R."""
    q_OR, r_RR = torch.linalg.qr(up_OR)
    p_IR, t_RR = torch.linalg.qr(down_RI.T)
    u, s, v = torch.linalg.svd(r_RR @ t_RR.T, full_matrices=False)
    return Singular(q_OR @ u, s, v @ p_IR.T)


def of_matrix(delta_OI: Tensor) -> Singular:
    if delta_OI.shape[0] < delta_OI.shape[1]:  # LAPACK takes three times as long for a matrix that lies
        standing = of_matrix(delta_OI.T)
        return Singular(standing.v_KI.T, standing.s_K, standing.u_OK.T)
    return Singular(*torch.linalg.svd(delta_OI, full_matrices=False))


def stacked(parts: Sequence[tuple[float, Factors]]) -> Factors:
    """sum of ratio * part, exactly: the ranks stand beside each other.

    The largest scale stays the scale of all, so that a part which has it goes through bit for bit; the others are
    multiplied by the root of what they lack, above and below, so that no number gets tiny in fp16.
    """
    strengths = [ratio * part.scale for ratio, part in parts]
    scale = max(map(abs, strengths)) or 1.0
    ups, downs = [], []
    for strength, (_, part) in zip(strengths, parts, strict=True):
        root = (abs(strength) / scale) ** 0.5
        ups.append(part.up_OR * (root if strength >= 0 else -root))
        downs.append(part.down_RI * root)
    return Factors(torch.cat(ups, dim=1), torch.cat(downs), scale, parts[0][1].kernel)


def wanted_rank(s_K: Tensor, method: str, param: float) -> int:
    """How many singular values a dynamic method keeps, at least one.

    sv_ratio: those above s_1 / param. sv_fro: the fewest with |s_1..k| >= param * |s|. sv_cumulative: the fewest whose
    sum is at least param times the sum of all.
    """
    if not s_K.any():
        return 1
    if method == "sv_ratio":
        return max(int((s_K > s_K[0] / param).sum()), 1)
    s_K = s_K.double()
    shares_K = s_K.square().cumsum(0).sqrt() / s_K.norm() if method == "sv_fro" else s_K.cumsum(0) / s_K.sum()
    return min(int((shares_K < param).sum()) + 1, len(s_K))


def device_of(name: str | None) -> torch.device:
    """Raises UserError where there is no such device."""
    try:
        device = torch.device(name or "cpu")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        raise UserError(f"device: There is no device {name} here; use cpu.") from None
    return device
