"""Runs of operations that go through as one piece, without the interpreter.

Where threads share out a batch, Python's interpreter lock is waited for at every operation. These functions keep to
the part of Python that TorchScript reads as well: it takes their very text, and a call then waits once. Where it cannot
be had they run as they stand, with the same bits.
"""
# ruff: noqa: UP006, UP035

from __future__ import annotations

import contextlib
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


def between_bins(spectra: Tensor, weights: List[Tensor], lows: List[int]) -> Tensor:
    """Returns what lies between the bins of spectra, real and imaginary parts in turn, ``[m, 2 * F]``.

    Args:
        spectra: ``[m, 2 * bins]``, real and imaginary parts in turn.
        weights: of runs of neighbouring outputs on their own columns.
        lows: first column of each run.
    """
    total = 0
    for block in weights:
        total += block.size(1)
    out = spectra.new_empty([spectra.size(0), total])
    place = 0
    for i in range(len(lows)):
        width = weights[i].size(1)
        columns = spectra.narrow(1, lows[i], weights[i].size(0))
        torch.mm(columns, weights[i], out=out.narrow(1, place, width))
        place += width
    return out


def keep_rows(out: Tensor, data: Tensor, sizes: List[int], ends: List[int], kept: List[int], rows: List[int]) -> None:
    """Copies the valid part of some items, and puts 0 past the end of others.

    Args:
        out: ``[B, ..., N]``.
        data: ``[B, ..., T]``.
        sizes: steps of each item of ``data``.
        ends: steps of each item of ``out``.
        kept: which items to copy.
        rows: whose rest becomes 0.
    """
    for row in kept:
        out[row][..., : sizes[row]].copy_(data[row][..., : sizes[row]])
    for row in rows:
        out[row][..., ends[row] :].zero_()


def put_blocks(out: Tensor, blocks: Tensor, first: int) -> None:
    """Writes what blocks in a row hold from one sample on.

    Args:
        out: ``[C, n]``.
        blocks: ``[C, count, step]``, at least ``first + n`` samples.
        first: samples to leave out.
    """
    step, n, place, skipped = blocks.size(2), out.size(1), first // blocks.size(2), first % blocks.size(2)
    head = 0
    if skipped > 0:
        head = min(step - skipped, n)
        out.narrow(1, 0, head).copy_(blocks.select(1, place).narrow(1, skipped, head))
        place += 1
    whole = (n - head) // step
    end = head + whole * step
    out.narrow(1, head, whole * step).view([out.size(0), whole, step]).copy_(blocks.narrow(1, place, whole))
    if end < n:
        out.narrow(1, end, n - end).copy_(blocks.select(1, place + whole).narrow(1, 0, n - end))


def scale_rows(out: Tensor, data: Tensor, rows: List[int], sizes: List[int], factors: Tensor) -> None:
    """Writes some items times their factors.

    Args:
        out: ``[B, ..., N]``.
        data: likewise.
        rows: which items.
        sizes: steps of each item.
        factors: ``[B, ...]``, what broadcasts over an item.
    """
    for row in rows:
        n = sizes[row]
        torch.mul(data[row][..., :n], factors[row], out=out[row][..., :n])


def shift_rows(out: Tensor, data: Tensor, rows: List[int], sizes: List[int], steps: List[int], circular: bool) -> None:
    """Writes some items moved within their valid part.

    Args:
        out: ``[B, ..., N]``.
        data: likewise.
        rows: which items.
        sizes: steps of each item.
        steps: by how many each moves to later times, in 0 to its size if circular, at most its size either way if not.
        circular: what leaves on one side comes in on the other; else zeros come in.
    """
    for row in rows:
        n, by = sizes[row], steps[row]
        new, old = out[row][..., :n], data[row][..., :n]
        start, stop = max(by, 0), n + min(by, 0)
        new[..., start:stop].copy_(old[..., start - by : stop - by])
        if circular:
            new[..., :by].copy_(old[..., n - by :])
        else:
            new[..., :start].zero_()
            new[..., stop:].zero_()


def compiled(functions: list[Any]) -> Callable[[F], F]:
    """Compiles functions that may call each other, and returns what gives for one of them its fast form.

    That is TorchScript's program, or the function itself where none can be had.
    """
    unit: Any = None
    with contextlib.suppress(RuntimeError, AttributeError, OSError, TypeError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        unit = torch.jit.CompilationUnit("\n".join(inspect.getsource(function) for function in functions))

    def fast(function: F) -> F:
        found: F = getattr(unit, function.__name__, function)
        return found

    return fast


fast = compiled(
    [
        stretch,
        cut_frames,
        deal_frames,
        power_spectra,
        filter_products,
        between_bins,
        keep_rows,
        scale_rows,
        shift_rows,
    ]
)
