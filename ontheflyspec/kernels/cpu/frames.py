"""Programs for frames of several signals in a row: cut and windowed, their power, filter outputs and logarithms."""
# ruff: noqa: UP006, UP035

from __future__ import annotations

from typing import List, Tuple

import torch
from torch import Tensor

from ontheflyspec.kernels.compiled import compiled


def extended(signal: Tensor, start: int, stop: int, reflect: bool, like: Tensor) -> Tensor:
    """Returns samples ``start`` to ``stop`` of a signal ``[n]`` that is reflected at its ends, or zero beyond them.

    Args:
        signal: floats, or int16 (meaning value / 32768), at least one.
        start: first sample, may lie before the signal.
        stop: last sample + 1, may lie after it.
        reflect: whether the signal is reflected, again and again if it is short.
        like: for the type of the result.
    """
    n, before, after = signal.size(0), max(-start, 0), max(stop - signal.size(0), 0)
    if not reflect or before + after == 0:
        part = signal[max(start, 0) : max(min(stop, n), 0)]
    elif before < n and after < n:
        inside = signal[max(start, 0) : min(stop, n)]
        part = torch.cat([signal[1 : before + 1].flip(0), inside, signal[n - 1 - after : n - 1].flip(0)])
    else:
        places = torch.arange(start, stop).remainder(max(2 * (n - 1), 1))
        part = signal[torch.minimum(places, 2 * (n - 1) - places).clamp(min=0)]
    part = part.to(like.dtype) / 32768 if part.dtype == torch.int16 else part.to(like.dtype)
    return part if part.size(0) == stop - start else torch.constant_pad_nd(part, [before, after])


@compiled(extended)
def cut_frames(
    waves: Tensor,
    sizes: List[int],
    window: Tensor,
    hop_length: int,
    before: int,
    reflect: bool,
    spans: List[Tuple[int, int, int]],
) -> Tensor:
    """Returns windowed frames ``[n, n_fft]`` of several spans of signals, in a row.

    Args:
        waves: ``[R, T]``.
        sizes: samples of each of them.
        window: ``[n_fft]``.
        hop_length: samples between frames.
        before: samples of the first frame before the signal.
        reflect: see `extended`.
        spans: which signal each span is of, its first frame, and how many it has.
    """
    n_fft, total, place = window.size(0), 0, 0
    for _, _, count in spans:
        total += count
    frames = window.new_empty([total, n_fft])
    for row, first, count in spans:
        start = first * hop_length - before
        signal = extended(waves[row][: sizes[row]], start, start + (count - 1) * hop_length + n_fft, reflect, window)
        torch.mul(signal.unfold(0, n_fft, hop_length), window, out=frames.narrow(0, place, count))
        place += count
    return frames


@compiled()
def deal_frames(features: Tensor, out: Tensor, ends: List[int], spans: List[Tuple[int, int, int]]) -> None:
    """Puts features ``[F, n]`` of several spans where they belong, and 0 past the end of each signal.

    Args:
        features: of the spans in a row.
        out: ``[R, F, N]``.
        ends: frames of each signal.
        spans: as in `cut_frames`.
    """
    place = 0
    for row, first, count in spans:
        own, last = out[row], first + count
        own.narrow(1, first, count).copy_(features.narrow(1, place, count))
        if last == ends[row] and last < out.size(2):
            own[:, last:].zero_()
        place += count


@compiled()
def power_spectra(frames: Tensor, rows: int) -> Tensor:
    """Returns squared magnitudes ``[rows, bins]`` of windowed frames ``[n, n_fft]``, whatever comes past n."""
    parts = torch.view_as_real(torch._fft_r2c(frames, [1], 0, True))
    parts.mul_(parts)
    power = frames.new_empty([rows, parts.size(1)])
    torch.add(parts.select(2, 0), parts.select(2, 1), out=power.narrow(0, 0, frames.size(0)))
    return power


@compiled()
def between_bins(spectra: Tensor, runs: List[Tuple[Tensor, int]]) -> Tensor:
    """Returns spectra at frequencies between the bins, real and imaginary parts in turn, ``[m, 2 * F]``.

    Args:
        spectra: ``[m, 2 * bins]``, real and imaginary parts in turn.
        runs: of `nufft.runs`.
    """
    made: List[Tensor] = []
    for block, low in runs:
        made.append(torch.mm(spectra.narrow(1, low, block.size(0)), block))
    return torch.cat(made, 1)


@compiled()
def filter_products(energy: Tensor, weights: Tensor, bands: List[Tuple[int, int, int, int]], n: int) -> Tensor:
    """Returns filter outputs ``[F, n]`` for the first n rows of ``[m, bins]``.

    Args:
        energy: m rows go into every product, so that its shape is one of few.
        weights: ``[F, bins]``.
        bands: runs of filters, see `filterbanks.FilterBlock`.
        n: rows that count.
    """
    made: List[Tensor] = []
    for first, last, low, high in bands:
        block = weights.narrow(0, first, last - first).narrow(1, low, high - low)
        made.append(torch.mm(block, energy.narrow(1, low, high - low).t()))
    return torch.cat(made).narrow(1, 0, n)


@compiled()
def to_logarithms(x: Tensor, scale: List[float]) -> Tensor:
    """Turns values into natural logarithms or decibels where they lie.

    Args:
        x: non-negative.
        scale: the smallest value that counts; for decibels also a factor and an offset; nothing for values as they are.
    """
    if len(scale) == 0:
        return x
    x.clamp_(min=scale[0])
    if len(scale) == 1:
        return x.log_()
    x.log10_().mul_(scale[1])
    return x if scale[2] == 0.0 else x.sub_(scale[2])


@compiled(extended, cut_frames, power_spectra, filter_products, to_logarithms, deal_frames)
def filter_spans(
    waves: Tensor,
    sizes: List[int],
    window: Tensor,
    hop_length: int,
    before: int,
    reflect: bool,
    spans: List[Tuple[int, int, int]],
    weights: Tensor,
    bands: List[Tuple[int, int, int, int]],
    scale: List[float],
    tile: int,
    out: Tensor,
    ends: List[int],
) -> None:
    """Writes outputs of filters over power spectra, or their logarithms; see the functions that it calls.

    Rows of spectra are rounded up to multiples of ``tile``.
    """
    frames = cut_frames(waves, sizes, window, hop_length, before, reflect, spans)
    n = frames.size(0)
    power = power_spectra(frames, (n + tile - 1) // tile * tile)
    deal_frames(to_logarithms(filter_products(power, weights, bands, n), scale), out, ends, spans)
