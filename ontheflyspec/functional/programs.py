"""Runs of operations that go through as one piece, without the interpreter.

Where threads share out a batch, Python's interpreter lock is waited for at every operation. These functions keep to
the part of Python that TorchScript reads as well: it takes their very text, and a call then waits once. Where it cannot
be had they run as they stand, with the same bits.
"""
# ruff: noqa: UP006, UP035

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any, List, TypeVar

import torch
from torch import Tensor

F = TypeVar("F", bound=Callable[..., Any])


def stretch(signal: Tensor, start: int, stop: int, head: Tensor, tail: Tensor) -> Tensor:
    """Returns samples ``start`` to ``stop`` of a signal ``[n]``, in the type of its surroundings.

    Args:
        signal: floats, or int16 (meaning value / 32768).
        start: first sample, at least ``-len(head)`` and at most n.
        stop: last sample + 1, at least 0 and at most ``n + len(tail)``.
        head: floats that lie right before it.
        tail: floats that lie right after it.
    """
    n = signal.size(0)
    inside = signal[max(start, 0) : min(stop, n)]
    scaled = inside.to(head.dtype)
    if inside.dtype == torch.int16:
        scaled = scaled / 32768
    parts = [scaled]
    if start < 0:
        parts = [head[head.size(0) + start :], scaled]
    if stop > n:
        parts.append(tail[: stop - n])
    if len(parts) == 1:
        return scaled
    return torch.cat(parts)


def cut_frames(
    waves: Tensor,
    sizes: List[int],
    heads: Tensor,
    tails: Tensor,
    window: Tensor,
    hop_length: int,
    rows: List[int],
    firsts: List[int],
    counts: List[int],
) -> Tensor:
    """Returns windowed frames ``[n, n_fft]`` of several stretches of signals, in a row.

    Args:
        waves: ``[R, T]``.
        sizes: samples of each of them.
        heads: ``[R, left]``, what lies before each signal; frame 0 begins there.
        tails: ``[R, right]``, what lies after each signal.
        window: ``[n_fft]``.
        hop_length: samples between frames.
        rows: which signal each stretch is of.
        firsts: its first frame.
        counts: its frames.
    """
    n_fft = window.size(0)
    total = 0
    for count in counts:
        total += count
    frames = window.new_empty([total, n_fft])
    place = 0
    for i in range(len(counts)):
        row = rows[i]
        start = firsts[i] * hop_length - heads.size(1)
        stop = start + (counts[i] - 1) * hop_length + n_fft
        signal = stretch(waves[row][: sizes[row]], start, stop, heads[row], tails[row])
        torch.mul(signal.unfold(0, n_fft, hop_length), window, out=frames.narrow(0, place, counts[i]))
        place += counts[i]
    return frames


def deal_frames(
    features: Tensor, out: Tensor, ends: List[int], rows: List[int], firsts: List[int], counts: List[int]
) -> None:
    """Puts features ``[F, n]`` of several stretches where they belong, and 0 past the end of each signal.

    Args:
        features: of the stretches in a row.
        out: ``[R, F, N]``.
        ends: frames of each signal.
        rows: as in `cut_frames`.
        firsts: as in `cut_frames`.
        counts: as in `cut_frames`.
    """
    place = 0
    for i in range(len(counts)):
        own = out[rows[i]]
        stop = firsts[i] + counts[i]
        own.narrow(1, firsts[i], counts[i]).copy_(features.narrow(1, place, counts[i]))
        if stop == ends[rows[i]] and stop < own.size(1):
            own.narrow(1, stop, own.size(1) - stop).zero_()
        place += counts[i]


def power_spectra(frames: Tensor, rows: int) -> Tensor:
    """Returns squared magnitudes ``[rows, bins]`` of windowed frames ``[n, n_fft]``, whatever comes past n."""
    parts = torch.view_as_real(torch._fft_r2c(frames, [1], 0, True))
    parts.mul_(parts)
    power = frames.new_empty([rows, parts.size(1)])
    torch.add(parts.select(2, 0), parts.select(2, 1), out=power.narrow(0, 0, frames.size(0)))
    return power


def filter_products(energy: Tensor, weights: List[Tensor], lows: List[int], n: int) -> Tensor:
    """Returns filter outputs ``[F, n]`` for the first n rows of ``[m, bins]``.

    Args:
        energy: m rows go into every product, so that its shape is one of few.
        weights: of runs of neighbouring filters, each on its own bins.
        lows: first bin of each run.
        n: rows that count.
    """
    made: List[Tensor] = []
    for i in range(len(lows)):
        made.append(torch.mm(weights[i], energy.narrow(1, lows[i], weights[i].size(1)).t()))
    return torch.cat(made).narrow(1, 0, n)


def halves(x: Tensor, start: int, rows: int, size: int, filters: Tensor) -> Tensor:
    """Returns every second sample of a filtered signal ``[n]``, and zeros after them up to ``size`` samples.

    Args:
        x: at least ``start + (rows + 2) * 2 * filters.size(2)`` samples.
        start: first sample that the first output needs.
        rows: of ``filters.size(2)`` outputs.
        size: of the result, at least that of the rows.
        filters: ``[3, 2 * row, row]``, for a row of samples and the two after it.
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
    return torch.mm(kernel, frames.contiguous().t())


def present_parts(parts: Tensor, output: str) -> Tensor:
    """Returns ``[bins, n]`` in the form asked for, from real parts above imaginary ones, which it overwrites."""
    bins = parts.size(0) // 2
    real, imaginary = parts.narrow(0, 0, bins), parts.narrow(0, bins, bins)
    if output == "complex":
        return torch.complex(real, imaginary)
    if output == "phase":
        return torch.atan2(imaginary, real)
    power = real.square_().add_(imaginary.square_())
    return power if output == "power" else power.sqrt_()


def octave_bins(
    wave: Tensor,
    kernels: List[Tensor],
    filters: Tensor,
    starts: List[int],
    rows: List[int],
    sizes: List[int],
    levels: List[int],
    lows: List[int],
    hop_length: int,
    most: int,
    output: str,
    out: Tensor,
) -> None:
    """Writes all bins of some frames, from a signal that is halved again and again.

    Args:
        wave: all samples ``[n]`` that the frames need.
        kernels: of each group of bins, ``[period, 2 * bins, width]``.
        filters: as in `halves`.
        starts: for each halving, as in `halves`.
        rows: for each halving, as in `halves`.
        sizes: for each halving, as in `halves`.
        levels: how often each group's signal was halved, in rising order from the last group to the first.
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
            x = halves(x, starts[level], rows[level], sizes[level], filters)
            level += 1
        kernel = kernels[group]
        period, first = kernel.size(0), last - kernel.size(1) // 2
        own = out[first:last]
        stride, block = (period * hop_length) >> level, max(most // kernel.size(2), 16)
        for j in range(period):
            place = j
            start = lows[group] + ((j * hop_length) >> level)
            while place < out.size(1):
                count = min((out.size(1) - 1 - place) // period + 1, block)
                bins = present_parts(filtered_frames(x, start, stride, count, kernel[j]), output)
                own[:, place : place + (count - 1) * period + 1 : period].copy_(bins)
                place += count * period
                start += count * stride
        last = first


def _compile(functions: list[Any]) -> Any:
    """Returns TorchScript's version of functions that may call each other, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.jit.CompilationUnit("\n".join(inspect.getsource(function) for function in functions))
    except (RuntimeError, AttributeError, OSError, TypeError):
        return None


_COMPILED = _compile(
    [
        stretch,
        cut_frames,
        deal_frames,
        power_spectra,
        filter_products,
        halves,
        filtered_frames,
        present_parts,
        octave_bins,
    ]
)


def fast(function: F) -> F:
    """Returns one of the functions above as TorchScript's program where that can be had."""
    found: F = getattr(_COMPILED, function.__name__, function)
    return found
