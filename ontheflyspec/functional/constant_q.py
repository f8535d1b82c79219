"""Filters of constant-Q and variable-Q transforms, and which of them may run on a signal that was halved.

Bin k at frame t is the sum over n of ``x[t * hop_length + n] * conj(b_k[n]) * sqrt(length_k)``, with ``b_k`` a windowed
complex sinusoid around n = 0. On a signal that was halved d times every ``2 ** d``-th tap of a filter does, if nothing
of its spectrum lies beyond the band that the halvings keep.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ontheflyspec.functional import windows

KEPT = 0.395
"""Share of its own sample rate up to which a halved signal is what it was, within 1e-5."""
REACH = {"hann": 22.0, "blackman": 14.0}
"""Main-lobe units (1 / length) beyond which a window's spectrum counts as nothing; others die away too slowly."""
PERIOD = 16
"""Most ways in which frames may lie between the samples of a halved signal."""
MOST_SPREAD = 1.3
"""Longest over shortest filter in a product, where it has many filters."""
FEW = 16
"""Filters that one product has at least, before it is split for their lengths."""


class Group(NamedTuple):
    """Neighbouring bins whose filters run on the same signal.

    Args:
        level: how often that was halved.
        first: first bin.
        last: last bin + 1.
        low: first tap, in samples of that signal from the frame's centre, rounded down.
        width: taps.
        period: frames after which centres lie at the same place between samples.
    """

    level: int
    first: int
    last: int
    low: int
    width: int
    period: int


def bin_frequencies(fmin: float, n_bins: int, bins_per_octave: int) -> Tensor:
    """Returns Hz of the bins, float64 ``[n_bins]``."""
    hertz: Tensor = fmin * torch.exp2(torch.arange(n_bins, dtype=torch.float64) / bins_per_octave)
    return hertz


def most_bins(nyquist: float, fmin: float, bins_per_octave: int) -> int:
    """Returns how many bins from ``fmin`` on lie at or below half the sample rate."""
    return math.floor(math.log2(nyquist / fmin) * bins_per_octave) + 1 if fmin <= nyquist else 0


def filter_lengths(
    frequencies: Tensor,
    sample_rate: float,
    bins_per_octave: int,
    filter_scale: float,
    gamma: float | None,
    filters: str,
) -> Tensor:
    """Returns the filters' lengths in samples, float64 ``[n_bins]``.

    Args:
        frequencies: Hz of the bins.
        sample_rate: Hz.
        bins_per_octave: sets the relative bandwidth.
        filter_scale: factor of all lengths.
        gamma: Hz added to all bandwidths, None for those of ERB filters.
        filters: ``"librosa"`` (fractional lengths) or ``"nnaudio"`` (rounded up).
    """
    ratio: float = 2.0 ** (1.0 / bins_per_octave)
    alpha = (ratio**2 - 1) / (ratio**2 + 1) if filters == "librosa" else ratio - 1
    offset = 24.7 * alpha / 0.108 if gamma is None else gamma
    lengths = filter_scale / alpha * sample_rate / (frequencies + offset / alpha)
    return lengths if filters == "librosa" else lengths.ceil()


def plan(
    frequencies: Tensor, lengths: Tensor, sample_rate: float, hop_length: int, window: str, *, octaves: bool
) -> list[Group]:
    """Returns groups of bins, each with as many halvings as its filters bear (none at all without ``octaves``)."""
    edges = frequencies + REACH.get(window, math.inf) * sample_rate / lengths
    deepest = (hop_length & -hop_length).bit_length() - 1 + PERIOD.bit_length() - 1
    groups: list[Group] = []
    levels = []
    for edge in edges.tolist():
        level = 0
        while octaves and level < deepest and edge * 2 ** (level + 1) <= KEPT * sample_rate:
            level += 1
        levels.append(level)
    start = 0
    sizes = lengths.tolist()
    for k in range(1, len(levels) + 1):
        alike = k < len(levels) and levels[k] == levels[start]
        if alike and (k - start < FEW or sizes[start] <= MOST_SPREAD * sizes[k]):
            continue
        groups.append(_group(levels[start], start, k, sizes[start:k], hop_length))
        start = k
    return groups


def _group(level: int, first: int, last: int, lengths: list[float], hop_length: int) -> Group:
    step = 2**level
    period = step // math.gcd(step, hop_length)
    late = step - math.gcd(step, hop_length)
    low = -(-min(math.floor(-length / 2) for length in lengths) // step)
    high = (max(math.floor(length / 2) for length in lengths) - 1 + late) // step
    return Group(level, first, last, low, high - low + 1, period)


def kernels(
    group: Group,
    frequencies: Tensor,
    lengths: Tensor,
    sample_rate: float,
    hop_length: int,
    window: str,
    norm: float | None,
    filters: str,
) -> Tensor:
    """Returns real and imaginary parts of a group's filters, float64 ``[period, 2 * bins, width]``.

    Place j of the first axis is for frames ``t = j (mod period)``.
    """
    hertz, sizes = frequencies[group.first : group.last, None], lengths[group.first : group.last, None]
    begin = torch.floor(-sizes / 2)
    count = torch.floor(sizes / 2) - begin
    step = 2**group.level
    late = (torch.arange(group.period) * hop_length % step).double().reshape(-1, 1, 1)
    taps = (torch.arange(group.width) + group.low).double() * step - late
    phase = (taps - begin) / count
    inside = (taps >= begin) & (taps < begin + count)
    values = torch.where(count == 1, 1.0, windows.at(window, phase.clamp(0, 1))) * inside
    scale = sizes.sqrt() * step / _norms(window, sizes, norm, filters)
    angles = 2 * torch.pi * (taps * (hertz / sample_rate)).remainder(1.0)
    return torch.cat([torch.cos(angles) * values * scale, -torch.sin(angles) * values * scale], 1)


def gains(lengths: Tensor, window: str, norm: float | None, filters: str) -> Tensor:
    """Returns what a tone of amplitude 1, ``exp(i w n)``, gives at a bin of its own frequency, float64 ``[n_bins]``."""
    return lengths.sqrt() * _norms(window, lengths, 1, filters) / _norms(window, lengths, norm, filters)


def _norms(window: str, lengths: Tensor, norm: float | None, filters: str) -> Tensor:
    """Returns what filters of such lengths are divided by: the norm of their windows; without one, nnAudio's length."""
    if norm is None:
        return lengths if filters == "nnaudio" else torch.ones_like(lengths)
    counts = torch.floor(lengths / 2) - torch.floor(-lengths / 2)
    weights = windows.COSINES.get(window, ())
    result = torch.empty_like(counts)
    for place, count in enumerate(counts.flatten().tolist()):
        if norm == 1 and weights and count > len(weights):
            value = weights[0] * count
        elif norm == 2 and weights and count > 2 * len(weights):
            value = math.sqrt(count * (weights[0] ** 2 + sum(weight**2 for weight in weights[1:]) / 2))
        elif norm == math.inf:
            value = (
                float(windows.at(window, torch.tensor([count // 2 / count], dtype=torch.float64))) if count > 1 else 1.0
            )
        else:
            samples = windows.at(window, torch.arange(count, dtype=torch.float64) / count)
            value = float(torch.linalg.vector_norm(samples if count > 1 else torch.ones(1, dtype=torch.float64), norm))
        result.view(-1)[place] = value
    return result
