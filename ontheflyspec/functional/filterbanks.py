"""Filter banks over FFT bins, and how to multiply by them quickly."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ontheflyspec.functional.scales import bark_to_hz, bin_frequencies, hz_to_bark, hz_to_mel, mel_to_hz
from ontheflyspec.functional.stft import raise_power
from ontheflyspec.op import Op

Band = tuple[int, int, int, int]
"""First and last + 1 filter, first and last + 1 bin."""
Run = tuple[Tensor, int]
"""Weights of neighbouring filters on their own bins, and the first of these."""


def mel_frequencies(n_mels: int, fmin: float, fmax: float, scale: str) -> Tensor:
    """Returns Hz of ``n_mels + 2`` points, evenly spaced in mels: edges and centres of the filters, float64."""
    ends = hz_to_mel(torch.tensor([fmin, fmax], dtype=torch.float64), scale)
    return mel_to_hz(torch.linspace(float(ends[0]), float(ends[1]), n_mels + 2, dtype=torch.float64), scale)


def mel_filterbank(
    sample_rate: float, n_fft: int, n_mels: int, fmin: float, fmax: float, scale: str, norm: str | None
) -> Tensor:
    """Returns triangular mel filters, float64 ``[n_mels, n_fft // 2 + 1]``.

    ``librosa.filters.mel`` for ``"slaney"`` and ``"htk"`` (triangles over Hz); Kaldi's for ``"kaldi"`` (triangles
    over mels). ``norm="slaney"`` gives each filter unit area over Hz.
    """
    points = mel_frequencies(n_mels, fmin, fmax, scale)
    return triangles(points, sample_rate, n_fft, norm, partial(hz_to_mel, scale=scale) if scale == "kaldi" else None)


def bark_frequencies(n_bands: int, fmin: float, fmax: float, scale: str) -> Tensor:
    """Returns Hz of ``n_bands + 2`` points, evenly spaced in bark: edges and centres of the filters, float64."""
    ends = hz_to_bark(torch.tensor([fmin, fmax], dtype=torch.float64), scale)
    return bark_to_hz(torch.linspace(float(ends[0]), float(ends[1]), n_bands + 2, dtype=torch.float64), scale)


def bark_filterbank(
    sample_rate: float, n_fft: int, n_bands: int, fmin: float, fmax: float, scale: str, norm: str | None
) -> Tensor:
    """Returns filters that are triangles over Hz, evenly spaced in bark, float64 ``[n_bands, n_fft // 2 + 1]``."""
    return triangles(bark_frequencies(n_bands, fmin, fmax, scale), sample_rate, n_fft, norm)


def linear_filterbank(sample_rate: float, n_fft: int, n_filter: int, fmin: float, fmax: float) -> Tensor:
    """Returns triangles evenly spaced in Hz with peaks of 1, float64 ``[n_filter, n_fft // 2 + 1]``."""
    return triangles(torch.linspace(fmin, fmax, n_filter + 2, dtype=torch.float64), sample_rate, n_fft, None)


def triangles(
    points: Tensor,
    sample_rate: float,
    n_fft: int,
    norm: str | None,
    warp: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Returns a triangle between every point's two neighbours, at FFT bins, float64 ``[F, n_fft // 2 + 1]``.

    Args:
        points: Hz of ``F + 2`` points, rising.
        sample_rate: Hz of the samples.
        n_fft: samples of a frame.
        norm: ``"slaney"`` for unit area over Hz, None for peaks of 1.
        warp: the scale over which edges are straight, None for Hz.
    """
    bins = bin_frequencies(sample_rate, n_fft)
    edges = points
    if warp is not None:
        edges, bins = warp(points), warp(bins)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    weights = torch.minimum(rising, falling).clamp(min=0.0)
    if norm == "slaney":
        weights = weights * (2.0 / (points[2:] - points[:-2]))[:, None]
    return weights


def bands(weights: Tensor, overhead: int = 2000) -> list[Band]:
    """Returns runs of neighbouring filters, each with its own range of bins, so that few zeros are multiplied.

    The cut is the cheapest one: a run costs filters times bins, plus ``overhead`` for one more product.

    Args:
        weights: ``[F, bins]``.
        overhead: cost of one product in multiplications.
    """
    used = [row.nonzero().flatten().tolist() or [0] for row in weights.cpu() != 0]
    return cheapest([row[0] for row in used], [row[-1] + 1 for row in used], overhead)


def cheapest(lows: list[int], highs: list[int], overhead: int, most: float = math.inf) -> list[Band]:
    """Returns the runs of `bands` for filters of which the first and last + 1 bin is known.

    Args:
        lows: first bin of each filter.
        highs: last bin + 1 of each filter.
        overhead: cost of one product in multiplications.
        most: filters times bins that no run of several filters needs to exceed.
    """
    n = len(lows)
    best, cut = [0.0] + [float("inf")] * n, [0] * (n + 1)
    for end in range(1, n + 1):
        low, high = lows[end - 1], highs[end - 1]
        for start in range(end - 1, -1, -1):
            low = lows[start] if lows[start] < low else low
            high = highs[start] if highs[start] > high else high
            area = (end - start) * (high - low)
            if area > most and start < end - 1:
                break
            cost = best[start] + area + overhead
            if cost < best[end]:
                best[end], cut[end] = cost, start
    result: list[Band] = []
    while n:
        start = cut[n]
        result.append((start, n, min(lows[start:n]), max(highs[start:n])))
        n = start
    return result[::-1]


@Op
def filtered(
    power: Tensor,
    _: Tensor | None,
    *,
    weights: Tensor,
    bands: list[Band],  # noqa: ARG001
    exponent: float,
) -> Tensor:
    """Returns filter outputs ``[..., F, N]`` of power ``[..., bins, N]``.

    Args:
        power: squared magnitudes, 0 past each length.
        _: lengths, not asked for.
        weights: ``[F, bins]``.
        bands: of `bands`, not asked for here.
        exponent: of the magnitudes that are filtered.
    """
    return torch.matmul(weights, raise_power(power, exponent))
