"""Non-negative least squares (NNLS) on a CPU: blocks of frames that stay in the cache, filters on their own bins."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec.functional.filterbanks import FilterBlock
from ontheflyspec.functional.nnls import iterate, nonnegative_least_squares, scaled
from ontheflyspec.kernels import threads
from ontheflyspec.kernels.cpu.pipeline import frame_spans, single_channels

VALUES = 1 << 17
"""Values of a solution that are worked on at a time, so that all steps find them in the cache."""


@nonnegative_least_squares.kernel("cpu")
def solve_in_blocks(
    x: Tensor, lengths: Tensor | None, *, bank: tuple[Tensor, list[FilterBlock]], inverse: Tensor, n_iter: int
) -> Tensor:
    """Returns the solutions, each item's own frames in blocks."""
    weights, bands = bank
    (matrix, scale), (items, ends) = scaled(weights), single_channels(x, lengths, 2)
    n_out = matrix.shape[1]
    runs = [(matrix[first:last, low:high], first, last, low, high) for first, last, low, high in bands]
    out = x.new_zeros(*x.shape[:-2], n_out, x.shape[-1])
    outs, jobs = out.flatten(0, -3), frame_spans(ends, max(VALUES // n_out, 16))

    def spread(gap: Tensor) -> Tensor:
        made = gap.new_zeros(n_out, gap.shape[1])
        for part, first, last, low, high in runs:
            made[low:high].addmm_(part.t(), gap[first:last])
        return made

    def through(s: Tensor) -> Tensor:
        return spread(inverse @ torch.cat([part @ s[low:high] for part, _, _, low, high in runs]))

    def job(number: int) -> None:
        row, first, count = jobs[number]
        base = spread(inverse @ items[row, :, first : first + count].contiguous())
        outs[row, :, first : first + count] = iterate(base, through, n_iter).mul_(scale.unsqueeze(1))

    threads.each(job, len(jobs), len(jobs) * threads.SHARE)
    return out
