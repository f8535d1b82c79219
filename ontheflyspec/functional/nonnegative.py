"""Non-negative least squares by a fixed number of steps, every frame by itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ontheflyspec import threads
from ontheflyspec.functional.blocks import applicable
from ontheflyspec.functional.filterbanks import Band
from ontheflyspec.functional.framing import cut

RIDGE, RELAXATION = 0.01, 1.7
"""Of each step, in shares of the largest eigenvalue and of a plain step: tried on tones, noise and their mixtures."""
VALUES = 1 << 17
"""Values of a solution that are worked on at a time, so that all steps find them in the cache."""


def scaled(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Returns weights whose product with their transpose has no eigenvalue above 1, and the scale of each column.

    The scale is 1 over the root of the row sum of ``weights.T @ weights``, 0 where a column is.
    """
    sums = weights.t() @ weights.sum(1)
    scale = torch.where(sums > 0, torch.where(sums > 0, sums, 1).rsqrt(), 0)
    return weights * scale, scale


def ridge_inverse(weights: Tensor) -> Tensor:
    """Returns the inverse of ``A @ A.T + RIDGE`` for scaled weights A, float64 ``[F, F]``; what `solve` divides by."""
    matrix, _ = scaled(weights.double())
    result: Tensor = torch.linalg.inv(matrix @ matrix.t() + RIDGE * torch.eye(len(matrix), dtype=torch.float64))
    return result


def solve(
    x: Tensor, lengths: Tensor | None, weights: Tensor, inverse: Tensor, bands: list[Band], n_iter: int
) -> Tensor:
    """Returns S, nowhere below 0, for which ``weights @ S`` comes near ``x`` in least squares.

    Douglas and Rachford's steps from 0: reflected at the quarter space and at least squares with a ridge in turn. That
    ridge changes how fast they come near, not where to. Projected gradients with Nesterov's momentum leave about four
    times as much after as many steps.

    Args:
        x: ``[B, ..., F, N]``.
        lengths: int64 ``[B]``, on the host if ``x`` is, None if all items are full.
        weights: ``[F, K]``, nowhere below 0.
        inverse: ``[F, F]`` of `ridge_inverse`.
        bands: of the weights, as `filterbanks.bands` gives them.
        n_iter: steps.

    Shape: ``[B, ..., K, N]``, 0 past each length.
    """
    matrix, scale = scaled(weights)
    column = scale.unsqueeze(1)
    if not applicable(x, weights):
        x = x if lengths is None else cut(x, lengths)
        back = matrix.t()
        found = _iterate(
            torch.matmul(back, torch.matmul(inverse, x)),
            lambda s: torch.matmul(back, torch.matmul(inverse, torch.matmul(matrix, s))),
            n_iter,
        )
        return found * column
    runs = [(matrix[first:last, low:high], first, last, low, high) for first, last, low, high in bands]

    def spread(gap: Tensor) -> Tensor:
        out = gap.new_zeros(matrix.shape[1], gap.shape[1])
        for part, first, last, low, high in runs:
            out[low:high].addmm_(part.t(), gap[first:last])
        return out

    def through(s: Tensor) -> Tensor:
        return spread(inverse @ torch.cat([part @ s[low:high] for part, _, _, low, high in runs]))

    def compute(part: Tensor) -> Tensor:
        return _iterate(spread(inverse @ part), through, n_iter).mul_(column)

    return _by_blocks(x, lengths, compute, weights.shape[1])


def _iterate(base: Tensor, through: Callable[[Tensor], Tensor], n_iter: int) -> Tensor:
    """Returns the solution after some steps, from the ridge's own solution for the data and its ``through``."""
    state = torch.zeros_like(base)
    for _ in range(n_iter):
        folded = state.abs()
        state = (1 - RELAXATION / 2) * state + RELAXATION * (base + folded / 2 - through(folded))
    return state.clamp(min=0)


def _by_blocks(x: Tensor, lengths: Tensor | None, compute: Callable[[Tensor], Tensor], n_out: int) -> Tensor:
    """Returns what ``compute`` makes of each item's own valid frames, some at a time."""
    size, channels = x.shape[-1], math.prod(x.shape[1:-2])
    items = x.reshape(x.shape[0] * channels, *x.shape[-2:])
    ends = [size] * len(items) if lengths is None else lengths.repeat_interleave(channels).tolist()
    out = x.new_zeros(*x.shape[:-2], n_out, size)
    outs = out.view(len(items), n_out, size)
    block = max(VALUES // n_out, 16)
    jobs = [(row, first, min(first + block, end)) for row, end in enumerate(ends) for first in range(0, end, block)]

    def job(number: int) -> None:
        row, first, last = jobs[number]
        outs[row, :, first:last] = compute(items[row, :, first:last].contiguous())

    threads.each(job, len(jobs), len(jobs) * threads.SHARE)
    return out
