"""Constant-Q transform on a CPU: each signal's own frames in chunks, decimated octave by octave while in the cache."""
# ruff: noqa: UP006, UP035

from __future__ import annotations

from typing import List, Tuple

import torch
from torch import Tensor

from ontheflyspec.functional.cqt_filters import ROW, Plan
from ontheflyspec.functional.cqt_octaves import FilterBank, constant_q_spectra
from ontheflyspec.kernels import threads
from ontheflyspec.kernels.compiled import compiled
from ontheflyspec.kernels.cpu.frames import extended
from ontheflyspec.kernels.cpu.pipeline import frame_spans, single_channels

CHUNK = 1 << 19
"""Samples of a signal that are worked on at once, so that an hour of audio needs no more memory than a minute."""
VALUES = 1 << 20
"""Values of frames that one product takes."""
COST = 48.0
"""A sample in values copied."""
EXTENDED = compiled()(extended)


def decimated(x: Tensor, start: int, rows: int, size: int, filters: Tensor) -> Tensor:
    """Returns a filtered signal ``[n]`` at a lower rate, and zeros after it up to ``size`` samples.

    Args:
        x: at least ``start + (rows + 2) * width`` samples.
        start: first sample that the first output needs.
        rows: of ``filters.size(2)`` outputs.
        size: of the result, at least that of the rows.
        filters: ``[3, width, row]``, for a row of ``width`` samples and the two after it.
    """
    width, row = filters.size(1), filters.size(2)
    blocks = x.narrow(0, start, (rows + 2) * width).view(rows + 2, width)
    out = x.new_empty([size])
    own = out.narrow(0, 0, rows * row).view(rows, row)
    torch.mm(blocks.narrow(0, 0, rows), filters[0], out=own)
    own.addmm_(blocks.narrow(0, 1, rows), filters[1])
    own.addmm_(blocks.narrow(0, 2, rows), filters[2])
    out.narrow(0, rows * row, size - rows * row).zero_()
    return out


def filtered_frames(x: Tensor, start: int, stride: int, count: int, kernel: Tensor) -> Tensor:
    """Returns a filter bank ``[F, width]`` times ``count`` frames of a signal ``[n]``, as ``[F, count]``."""
    width = kernel.size(1)
    frames = x.narrow(0, start, (count - 1) * stride + width).unfold(0, width, stride)
    if stride < width:  # a product would lay them out by columns first, which takes longer
        frames = frames.contiguous()
    return torch.mm(kernel, frames.t())


def put_parts(parts: Tensor, output: str, out: Tensor) -> None:
    """Writes spectra ``[bins, n]`` in the form asked for, but power in place of magnitudes.

    Args:
        parts: real parts above imaginary parts, ``[2 * bins, n]``, which are overwritten.
        output: ``"complex"``, ``"magnitude"``, ``"power"`` or ``"phase"``.
        out: ``[bins, n]``.
    """
    bins = out.size(0)
    real, imaginary = parts.narrow(0, 0, bins), parts.narrow(0, bins, bins)
    if output == "complex":
        out.copy_(torch.complex(real, imaginary))
    elif output == "phase":
        out.copy_(torch.atan2(imaginary, real))
    else:
        parts.mul_(parts)
        torch.add(real, imaginary, out=out)


@compiled(decimated, filtered_frames, put_parts)
def octave_bins(
    wave: Tensor,
    decimations: List[Tuple[int, int, int, Tensor]],
    groups: List[Tuple[int, int, int, Tensor]],
    hop_length: int,
    most: int,
    output: str,
    out: Tensor,
) -> None:
    """Writes all bins of some frames, from a signal that is decimated again and again.

    Args:
        wave: all samples ``[n]`` that the frames need.
        decimations: start, rows, size and filters of each, as in `decimated`.
        groups: of bins, from the highest to the lowest: how often the group's signal was decimated, samples of the
            wave for one of its own, where the first frame's first tap lies in it, and kernels
            ``[period, 2 * bins, width]``.
        hop_length: samples between frames.
        most: values of frames that one product takes.
        output: ``"complex"``, ``"magnitude"``, ``"power"`` or ``"phase"``.
        out: ``[bins, n]``.
    """
    x, done, last = wave, 0, out.size(0)
    for level, step, low, kernel in groups:
        for begin, rows, size, filters in decimations[done:level]:
            x = decimated(x, begin, rows, size, filters)
        done = level
        period, first = kernel.size(0), last - kernel.size(1) // 2
        own = out[first:last]
        stride, block = (period * hop_length) // step, max(most // kernel.size(2), 16)
        for j in range(period):
            place = j
            start = low + (j * hop_length) // step
            while place < out.size(1):
                count = min((out.size(1) - 1 - place) // period + 1, block)
                parts = filtered_frames(x, start, stride, count, kernel[j])
                put_parts(parts, output, own[:, place : place + (count - 1) * period + 1 : period])
                place += count * period
                start += count * stride
        last = first
    if output == "magnitude":
        out.sqrt_()


@constant_q_spectra.kernel("cpu")
def spectra_in_chunks(x: Tensor, lengths: Tensor | None, *, bank: FilterBank, output: str) -> Tensor:
    """Returns constant-Q spectra, the frames of each signal in chunks."""
    (kernels, decimators, plan, framing), (waves, sizes), hop_length = (
        bank,
        single_channels(x, lengths),
        bank.framing.hop_length,
    )
    kind, bins, total = kernels[0].dtype, plan.groups[-1].last, framing.count(x.shape[-1])
    out = x.new_empty((*x.shape[:-1], bins, total), dtype=kind.to_complex() if output == "complex" else kind)
    outs = out.view(len(waves), bins, total)
    # Whole periods, so that frames lie between the samples of a decimated signal as they do in the first chunk.
    period = max(group.period for group in plan.groups)
    ends = [framing.count(n) for n in sizes]
    jobs = frame_spans(ends, -(-max(CHUNK // hop_length, 1) // period) * period)
    groups = [
        (group.level, group.step, plan.before[group.level] + group.low, kernel)
        for group, kernel in zip(plan.groups[::-1], kernels[::-1], strict=True)
    ]

    def job(number: int) -> None:
        row, first, count = jobs[number]
        begin = first * hop_length - plan.before[0]
        rows, room = _room(plan, (count - 1) * hop_length)
        own = waves[row, : sizes[row]]
        wave = EXTENDED(own, begin, begin + room[0], framing.pad_mode == "reflect", kernels[0])
        decimations = list(zip(plan.starts, rows, room[1:], decimators, strict=True))
        octave_bins(wave, decimations, groups, hop_length, VALUES, output, outs[row, :, first : first + count])

    for row, end in enumerate(ends):
        outs[row, :, end:] = 0
    threads.each(job, len(jobs), COST * sum(ends) * hop_length)
    return out


def _room(plan: Plan, span: int) -> tuple[list[int], list[int]]:
    """Returns rows of each decimation, and samples at each level that it and the next one need."""
    sizes = plan.sizes(span)
    rows = [-(-size // ROW) for size in sizes[1:]]
    for level, (start, factor, count) in enumerate(zip(plan.starts, plan.factors, rows, strict=True)):
        sizes[level] = max(sizes[level], start + (count + 2) * factor * ROW)
        sizes[level + 1] = count * ROW
    return rows, sizes
