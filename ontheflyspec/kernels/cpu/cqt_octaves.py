"""Constant-Q spectra on a CPU: each item's own frames, in chunks, group of bins by group of bins."""
# ruff: noqa: UP006, UP035

from __future__ import annotations

from typing import List

import torch
from torch import Tensor

from ontheflyspec.functional.cqt_filters import ROW, Plan
from ontheflyspec.functional.cqt_octaves import FilterBank, constant_q_spectra
from ontheflyspec.kernels import threads
from ontheflyspec.kernels.compiled import compiled
from ontheflyspec.kernels.cpu.pipeline import extended

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
    """Writes ``[bins, n]``, magnitudes as squares, for real parts above imaginary ones, which it overwrites."""
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
    kernels: List[Tensor],
    filters: List[Tensor],
    starts: List[int],
    rows: List[int],
    sizes: List[int],
    levels: List[int],
    steps: List[int],
    lows: List[int],
    hop_length: int,
    most: int,
    output: str,
    out: Tensor,
) -> None:
    """Writes all bins of some frames, from a signal that is decimated again and again.

    Args:
        wave: all samples ``[n]`` that the frames need.
        kernels: of each group of bins, ``[period, 2 * bins, width]``.
        filters: for each decimation, as in `decimated`.
        starts: for each decimation, as in `decimated`.
        rows: for each decimation, as in `decimated`.
        sizes: for each decimation, as in `decimated`.
        levels: how often each group's signal was decimated, in rising order from the last group to the first.
        steps: samples of the wave for one of each level.
        lows: where the first frame's first tap lies in it.
        hop_length: samples between frames.
        most: values of frames that one product takes.
        output: ``"complex"``, ``"magnitude"``, ``"power"`` or ``"phase"``.
        out: ``[bins, n]``.
    """
    x, level, last = wave, 0, out.size(0)
    for back in range(len(kernels)):
        group = len(kernels) - 1 - back
        while level < levels[group]:
            x = decimated(x, starts[level], rows[level], sizes[level], filters[level])
            level += 1
        kernel = kernels[group]
        period, first = kernel.size(0), last - kernel.size(1) // 2
        own = out[first:last]
        stride, block = (period * hop_length) // steps[level], max(most // kernel.size(2), 16)
        for j in range(period):
            place = j
            start = lows[group] + (j * hop_length) // steps[level]
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
    """Returns constant-Q spectra, each item's own frames in chunks."""
    (kernels, decimators, plan, framing), size, hop_length = bank, x.shape[-1], bank.framing.hop_length
    kind, bins, total = kernels[0].dtype, plan.groups[-1].last, framing.count(size)
    channels = x.shape[1] if x.dim() == 3 else 1
    waves = x.reshape(x.shape[0] * channels, size)
    sizes = [size] * waves.shape[0] if lengths is None else lengths.repeat_interleave(channels).tolist()
    out = x.new_empty((*x.shape[:-1], bins, total), dtype=kind.to_complex() if output == "complex" else kind)
    outs = out.view(waves.shape[0], bins, total)
    # Whole periods, so that frames lie between the samples of a decimated signal as they do in the first chunk.
    period = max(group.period for group in plan.groups)
    chunk = -(-max(CHUNK // hop_length, 1) // period) * period
    ends = [framing.count(n) for n in sizes]
    jobs = [(row, first) for row, end in enumerate(ends) for first in range(0, end, chunk)]
    lows = [plan.before[group.level] + group.low for group in plan.groups]
    levels = [group.level for group in plan.groups]

    def job(number: int) -> None:
        row, first = jobs[number]
        count = min(chunk, ends[row] - first)
        begin = first * hop_length - plan.before[0]
        rows, room = _room(plan, (count - 1) * hop_length)
        own = waves[row, : sizes[row]]
        wave = EXTENDED(own, begin, begin + room[0], framing.pad_mode == "reflect", kernels[0])
        target = outs[row, :, first : first + count]
        decimation, groups = (plan.starts, rows, room[1:]), (levels, plan.steps, lows)
        octave_bins(wave, kernels, decimators, *decimation, *groups, hop_length, VALUES, output, target)

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
