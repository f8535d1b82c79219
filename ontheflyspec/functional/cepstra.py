"""Cosine transforms of bands, item by item."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ontheflyspec import threads
from ontheflyspec.functional.blocks import applicable
from ontheflyspec.functional.framing import cut


def cosine_matrix(n_out: int, n_in: int, lifter: float) -> Tensor:
    """Returns the first rows of the orthonormal DCT-II, float64 ``[n_out, n_in]``, liftered as HTK does.

    Args:
        n_out: coefficients.
        n_in: bands.
        lifter: L of the factor ``1 + L / 2 sin(pi (k + 1) / L)`` on coefficient k, 0 for none.
    """
    orders = torch.arange(n_out, dtype=torch.float64).unsqueeze(-1)
    matrix = torch.cos(math.pi / n_in * orders * (torch.arange(n_in, dtype=torch.float64) + 0.5))
    matrix = matrix * torch.where(orders == 0, math.sqrt(1 / n_in), math.sqrt(2 / n_in))
    return matrix * (1 + lifter / 2 * torch.sin(math.pi * (orders + 1) / lifter)) if lifter else matrix


def project(x: Tensor, lengths: Tensor | None, matrix: Tensor) -> Tensor:
    """Returns a matrix ``[K, F]`` times every frame.

    Args:
        x: ``[B, ..., F, N]``.
        lengths: int64 ``[B]``, on the host if ``x`` is, None if all items are full.
        matrix: ``[K, F]``.

    Shape: ``[B, ..., K, N]``, 0 past each length.
    """
    if not applicable(x, matrix):
        return torch.matmul(matrix, x if lengths is None else cut(x, lengths))
    size, channels = x.shape[-1], math.prod(x.shape[1:-2])
    out = matrix.new_zeros(*x.shape[:-2], matrix.shape[0], size)
    count = x.shape[0] * channels
    items, outs = x.reshape(count, *x.shape[-2:]), out.view(count, matrix.shape[0], size)
    sizes = [size] * count if lengths is None else lengths.repeat_interleave(channels).tolist()

    def job(row: int) -> None:
        n = sizes[row]
        outs[row, :, :n] = matrix @ items[row, :, :n].contiguous()

    threads.each(job, count, x.numel())
    return out
