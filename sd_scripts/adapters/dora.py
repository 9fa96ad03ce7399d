"""DoRA (Liu et al. 2024, arXiv:2402.09353): a weight's direction is changed by a low-rank matrix, its length trained
by itself.

W' = m * (W + D) / |W + D|, where m starts as |W|. The norms are those of rows (one for each output) or of columns.
"""

from __future__ import annotations

import torch
from torch import Tensor


def lengths(weight: Tensor, on_output: bool) -> Tensor:
    """The norm of each row as (O, 1[, 1, 1]), or of each column as (1, I[, 1, 1])."""
    kept = 0 if on_output else 1
    others = [axis for axis in range(weight.ndim) if axis != kept]
    return weight.square().sum(dim=others, keepdim=True).sqrt()


def decomposed(weight: Tensor, delta: Tensor, magnitude: Tensor) -> Tensor:
    """W' - W. Whether the lengths are of rows or columns is seen in the shape of `magnitude`."""
    moved = weight + delta
    length = lengths(moved, on_output=is_on_output(magnitude, weight)) + torch.finfo(weight.dtype).eps
    return moved * (magnitude.reshape(length.shape) / length) - weight


def is_on_output(magnitude: Tensor, weight: Tensor) -> bool:
    """`magnitude` has one number for each output, or one for each input."""
    return magnitude.shape[0] == weight.shape[0] and magnitude.shape[1] == 1
