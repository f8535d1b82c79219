"""Discrete cosine transform (DCT-II) of bands, for cepstral coefficients, with HTK's liftering."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ontheflyspec.functional.signal_frames import zero_padding
from ontheflyspec.op import Op
from ontheflyspec.precision import matmul


def cosine_matrix(n_out: int, n_in: int, lifter: float) -> Tensor:
    """Returns the first rows of the orthonormal DCT-II, float64 ``[n_out, n_in]``, liftered as in HTK.

    Args:
        n_out: coefficients.
        n_in: bands.
        lifter: L of the factor ``1 + L / 2 sin(pi (k + 1) / L)`` on coefficient k, 0 for none.
    """
    orders = torch.arange(n_out, dtype=torch.float64).unsqueeze(-1)
    matrix = torch.cos(math.pi / n_in * orders * (torch.arange(n_in, dtype=torch.float64) + 0.5))
    matrix = matrix * torch.full_like(orders, math.sqrt(2 / n_in)).masked_fill(orders == 0, math.sqrt(1 / n_in))
    return matrix * (1 + lifter / 2 * torch.sin(math.pi * (orders + 1) / lifter)) if lifter else matrix


@Op
def project(x: Tensor, lengths: Tensor | None, *, matrix: Tensor) -> Tensor:
    """Returns the product of a matrix ``[K, F]`` with every frame.

    Args:
        x: ``[B, ..., F, N]``.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        matrix: ``[K, F]``.

    Shape: ``[B, ..., K, N]``, 0 past each length.
    """
    return matmul(matrix, zero_padding(x, lengths))
