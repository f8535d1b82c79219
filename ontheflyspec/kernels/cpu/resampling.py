"""Resampling on a CPU: products over each signal's own steps in fixed blocks, with the same bits in any batch."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec.functional.resampling import (
    Fraction,
    change_speeds,
    kept_kernel,
    plan,
    resample,
    resampled_length,
)
from ontheflyspec.kernels import threads
from ontheflyspec.kernels.compiled import compiled
from ontheflyspec.kernels.cpu.pipeline import extended
from ontheflyspec.kernels.rows import Layout, Rows, with_channels

BLOCK = 1024
"""Steps in one product."""


@compiled(extended)
def resample_signal(
    out: Tensor, signal: Tensor, kernels: Tensor, step_in: int, step_out: int, reach: int, block: int
) -> None:
    """Writes one signal at its new rate, with zeros beyond its ends.

    Args:
        out: ``[ceil(n * new / old)]``.
        signal: floats or int16, ``[n]``.
        kernels: see `kernel`.
        step_in: see `plan`.
        step_out: likewise.
        reach: likewise.
        block: steps in one product.
    """
    size, width = out.size(0), kernels.size(1)
    for place in range(0, size, block * step_out):
        start, count = place // step_out * step_in - reach, min(block, (size - place + step_out - 1) // step_out)
        part = extended(signal, start, start + (count - 1) * step_in + width, False, kernels)
        values = torch.mm(part.unfold(0, width, step_in).contiguous(), kernels.t()).view(-1)
        n = min(count * step_out, size - place)
        out.narrow(0, place, n).copy_(values.narrow(0, 0, n))


@resample.kernel("cpu")
def resample_signals(data: Tensor, lengths: Tensor | None, *, kernels: Tensor, old: int, new: int) -> Tensor:
    """Returns signals at the new rate, one after the other."""
    step, channels = plan(old, new), data.shape[1] if data.dim() == 3 else 1
    waves = data.reshape(-1, data.shape[-1])
    sizes = [data.shape[-1]] * len(waves) if lengths is None else lengths.repeat_interleave(channels).tolist()
    out = kernels.new_zeros(len(waves), resampled_length(data.shape[-1], old, new))

    def job(row: int) -> None:
        n = sizes[row]
        resample_signal(out[row, : resampled_length(n, old, new)], waves[row, :n], kernels, *step, BLOCK)

    threads.each(job, len(sizes), sum(sizes) * kernels.shape[1] // step[0])
    return out.view(*data.shape[:-1], out.shape[-1])


@change_speeds.kernel("rows")
def change_speeds_rows(
    like: Layout,
    lengths: Tensor,
    *,
    sizes: Tensor,
    size: int,  # noqa: ARG001
    fractions: list[Fraction],
) -> Rows:
    """Writes items at their own speeds."""
    ends, news = lengths.tolist(), sizes.tolist()

    def write(out: Tensor, data: Tensor, rows: list[int]) -> None:
        for row in rows:
            old, new = fractions[row]
            target, source = out[row, :, : news[row]], data[row, :, : ends[row]]
            if old == new:
                target.copy_(source)
                continue
            kernels, step = kept_kernel(old, new, like.dtype), plan(old, new)
            for channel in range(data.shape[1]):
                resample_signal(target[channel], source[channel], kernels, *step, BLOCK)

    return Rows(with_channels(write), cost=256)
