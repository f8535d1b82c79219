"""Filter banks over FFT bins, and how to multiply by them quickly."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec.functional.fourier import power_frames, raise_power
from ontheflyspec.functional.scales import hz_to_mel, mel_to_hz

FEW_FRAMES = 64
"""Below these the products of several runs cost more than the zeros that they leave out."""

Band = tuple[int, int, int, int]
"""First and last + 1 filter, first and last + 1 bin."""


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
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate / n_fft
    edges = points
    if scale == "kaldi":
        edges, bins = hz_to_mel(points, scale), hz_to_mel(bins, scale)
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
    n = len(used)
    best, cut = [0.0] + [float("inf")] * n, [0] * (n + 1)
    for end in range(1, n + 1):
        low, high = weights.shape[1], 0
        for start in range(end - 1, -1, -1):
            low, high = min(low, used[start][0]), max(high, used[start][-1] + 1)
            cost = best[start] + (end - start) * (high - low) + overhead
            if cost < best[end]:
                best[end], cut[end] = cost, start
    result: list[Band] = []
    while n:
        start = cut[n]
        run = used[start:n]
        result.append((start, n, min(row[0] for row in run), max(row[-1] for row in run) + 1))
        n = start
    return result[::-1]


def power_bins(frames: Tensor, top: int) -> Tensor:
    """Returns squared magnitudes ``[n, top]`` of the lowest bins of windowed frames ``[n, n_fft]``."""
    spectrum = torch.fft.rfft(frames)
    return power_frames(spectrum if top > 0.9 * spectrum.shape[1] else spectrum[:, :top])


def filter_frames(energy: Tensor, weights: Tensor, runs: list[tuple[Tensor, int, int]], power: float) -> Tensor:
    """Returns filter outputs ``[F, n]`` for squared magnitudes ``[n, bins]``.

    Args:
        energy: of the lowest bins.
        weights: ``[F, bins]``, for few frames.
        runs: weights of neighbouring filters with their first and last + 1 bin, for many frames.
        power: exponent of the magnitudes.
    """
    energy = raise_power(energy, power).t()
    if energy.shape[1] < FEW_FRAMES:
        return weights @ energy[: weights.shape[1]]
    return torch.cat([torch.mm(part, energy.narrow(0, low, high - low)) for part, low, high in runs])
