"""Non-negative least squares on a CPU: some frames at a time, filters on their own bins."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ontheflyspec.functional.filterbanks import Band
from ontheflyspec.functional.nnls import iterate, nonnegative_least_squares, scaled
from ontheflyspec.kernels import threads

VALUES = 1 << 17
"""Values of a solution that are worked on at a time, so that all steps find them in the cache."""


@nonnegative_least_squares.kernel("cpu")
def solve_in_blocks(
    x: Tensor, lengths: Tensor | None, *, weights: Tensor, inverse: Tensor, bands: list[Band], n_iter: int
) -> Tensor:
    """Returns the solutions, each item's own frames in blocks."""
    matrix, scale = scaled(weights)
    n_out, size, channels = matrix.shape[1], x.shape[-1], math.prod(x.shape[1:-2])
    runs = [(matrix[first:last, low:high], first, last, low, high) for first, last, low, high in bands]
    items = x.reshape(x.shape[0] * channels, *x.shape[-2:])
    ends = [size] * len(items) if lengths is None else lengths.repeat_interleave(channels).tolist()
    out = x.new_zeros(*x.shape[:-2], n_out, size)
    outs, block = out.view(len(items), n_out, size), max(VALUES // n_out, 16)
    jobs = [(row, first, min(first + block, end)) for row, end in enumerate(ends) for first in range(0, end, block)]

    def spread(gap: Tensor) -> Tensor:
        made = gap.new_zeros(n_out, gap.shape[1])
        for part, first, last, low, high in runs:
            made[low:high].addmm_(part.t(), gap[first:last])
        return made

    def through(s: Tensor) -> Tensor:
        return spread(inverse @ torch.cat([part @ s[low:high] for part, _, _, low, high in runs]))

    def job(number: int) -> None:
        row, first, last = jobs[number]
        base = spread(inverse @ items[row, :, first:last].contiguous())
        outs[row, :, first:last] = iterate(base, through, n_iter).mul_(scale.unsqueeze(1))

    threads.each(job, len(jobs), len(jobs) * threads.SHARE)
    return out
