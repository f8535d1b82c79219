"""Polyphase resampling and speed change on a CPU, signal by signal: matrix products over blocks of fixed size."""
# ruff: noqa: UP006, UP035

from __future__ import annotations

from typing import Any, Tuple

import torch
from torch import Tensor

from ontheflyspec.functional import resampling
from ontheflyspec.functional.resampling import Fraction
from ontheflyspec.kernels import threads
from ontheflyspec.kernels.compiled import compiled
from ontheflyspec.kernels.cpu.frames import extended
from ontheflyspec.kernels.cpu.pipeline import single_channels
from ontheflyspec.kernels.rows import Layout, Rows, with_channels

BLOCK = 1024
"""Steps in one product: always as many, so that a signal gets the same bits in any batch."""


@compiled(extended)
def resample_signal(out: Tensor, signal: Tensor, kernels: Tensor, plan: Tuple[int, int, int], block: int) -> None:
    """Writes one signal at its new rate, with zeros beyond its ends.

    Args:
        out: ``[ceil(n * new / old)]``.
        signal: floats or int16, ``[n]``.
        kernels: of `resampling.kernel`.
        plan: of `resampling.plan`.
        block: steps in one product.
    """
    step_in, step_out, reach = plan
    size, width = out.size(0), kernels.size(1)
    for place in range(0, size, block * step_out):
        start, count = place // step_out * step_in - reach, min(block, (size - place + step_out - 1) // step_out)
        part = extended(signal, start, start + (count - 1) * step_in + width, False, kernels)
        values = torch.mm(part.unfold(0, width, step_in).contiguous(), kernels.t()).view(-1)
        n = min(count * step_out, size - place)
        out.narrow(0, place, n).copy_(values.narrow(0, 0, n))


@resampling.resample.kernel("cpu")
def resample_signals(data: Tensor, lengths: Tensor | None, *, kernels: Tensor, old: int, new: int) -> Tensor:
    """Returns signals at the new rate, each by itself."""
    plan, (waves, sizes) = resampling.plan(old, new), single_channels(data, lengths)
    out = kernels.new_zeros(len(waves), resampling.resampled_length(data.shape[-1], old, new))

    starts = resampling.parts(old, new)

    def job(row: int) -> None:
        target = out[row, : resampling.resampled_length(sizes[row], old, new)]
        if starts:
            _by_parts(target, waves[row, : sizes[row]], kernels, plan, starts)
        else:
            resample_signal(target, waves[row, : sizes[row]], kernels, plan, BLOCK)

    threads.each(job, len(sizes), sum(sizes) * (2 * plan[2] if starts else kernels.shape[1] // plan[0]))
    return out.view(*data.shape[:-1], out.shape[-1])


def _by_parts(out: Tensor, signal: Tensor, kernels: Tensor, plan: resampling.Plan, starts: list[int]) -> None:
    """Writes one signal at its new rate by filters in parts, see `resampling.parts`."""
    step_in, step_out, reach = plan
    steps, width = -(-out.shape[0] // step_out), kernels.shape[-1]
    made = kernels.new_empty(steps, len(starts) * kernels.shape[1])
    for place, (start, part) in enumerate(zip(starts, kernels, strict=True)):
        first = start - reach
        own = extended(signal, first, first + (steps - 1) * step_in + width, False, kernels)
        rows = slice(place * kernels.shape[1], (place + 1) * kernels.shape[1])
        torch.mm(own.unfold(0, width, step_in).contiguous(), part.t(), out=made[:, rows])
    out.copy_(made[:, :step_out].reshape(-1)[: out.shape[0]])


@resampling.change_speeds.kernel("rows")
def change_speeds_rows(like: Layout, lengths: Tensor, *, sizes: Tensor, fractions: list[Fraction], **_: Any) -> Rows:
    """Writes items resampled by their own fractions."""
    ends, news = lengths.tolist(), sizes.tolist()

    def write(out: Tensor, data: Tensor, rows: list[int]) -> None:
        for row in rows:
            old, new = fractions[row]
            target, source = out[row, :, : news[row]], data[row, :, : ends[row]]
            if old == new:
                target.copy_(source)
                continue
            (kernels,), plan = resampling.kept_kernel(out.device, old, new, like.dtype), resampling.plan(old, new)
            for channel in range(data.shape[1]):
                resample_signal(target[channel], source[channel], kernels, plan, BLOCK)

    return Rows(with_channels(write), cost=256)
