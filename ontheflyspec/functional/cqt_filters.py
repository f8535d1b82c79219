"""Filters of constant-Q (CQT) and variable-Q (VQT) transforms, and the plan of which run on decimated signals.

Bin k at frame t is the sum over n of ``x[t * hop_length + n] * conj(b_k[n]) * sqrt(length_k)``, with ``b_k`` a windowed
complex sinusoid around n = 0. On a decimated signal every ``step``-th tap of a filter is enough, if its spectrum lies
within the band that decimation keeps.
"""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ontheflyspec import windows

KEPT = 0.395
"""Pass band of decimation as a share of the decimated sample rate: the signal is kept within 1e-5."""
TAPS = 15.5
"""Half width of the decimating filter in samples of its output."""
ROW = 16
"""Outputs of the decimating filter that one row of a product computes, from three rows of input."""
REACH = {"hann": 22.0, "blackman": 14.0}
"""Units of 1 / length beyond which a window's spectrum counts as 0; those of other windows decay too slowly."""
PERIOD = 16
"""Most positions of frames between the samples of a decimated signal."""
MOST_SPREAD = 1.3
"""Largest ratio of the longest to the shortest filter in a product of more than `FEW` filters."""
FEW = 16
"""Fewest filters of a product before it is split for their lengths."""


class Wavelets(NamedTuple):
    """Shapes of the filters of all bins: a window times a complex sinusoid.

    Args:
        frequencies: Hz of the bins, float64 ``[n_bins]``.
        lengths: samples of the windows, float64 ``[n_bins]``, see `filter_lengths`.
        sample_rate: Hz of the signal.
        window: of `windows.parse`, one of `windows.SHAPES`.
        norm: order of the norm that each filter is divided by, None for none.
        filters: the library whose definition they follow, ``"librosa"`` or ``"nnaudio"``.
    """

    frequencies: Tensor
    lengths: Tensor
    sample_rate: float
    window: windows.Window
    norm: float | None
    filters: str


class Group(NamedTuple):
    """Neighbouring bins whose filters run on the same signal.

    Args:
        level: how often the signal was decimated, 0 for the input.
        step: samples of the input for one sample of the decimated signal.
        first: first bin.
        last: last bin + 1.
        low: first tap, in samples of that signal from the frame's centre, rounded down.
        width: taps.
        period: frames after which frame centres lie at the same position between samples.
    """

    level: int
    step: int
    first: int
    last: int
    low: int
    width: int
    period: int


@dataclass(frozen=True)
class Plan:
    """Which bins run on which signals, each decimated from the one before.

    Args:
        groups: in rising order of bins, falling order of levels.
        steps: samples of the input for one sample of each level, powers of 2.
        before: samples that each level needs before the first frame's centre.
        after: samples that each level needs after the last frame's centre.
    """

    groups: list[Group]
    steps: list[int]
    before: list[int]
    after: list[int]

    @property
    def factors(self) -> list[int]:
        """Decimation factor from each level but the last to the next."""
        return [high // low for low, high in itertools.pairwise(self.steps)]

    @property
    def starts(self) -> list[int]:
        """First sample of each level but the last that the first sample of the next level needs."""
        ahead = (factor * (wide + TAPS) for factor, wide in zip(self.factors, self.before[1:], strict=True))
        return [int(wide - reach) for wide, reach in zip(self.before[:-1], ahead, strict=True)]

    def sizes(self, span: int) -> list[int]:
        """Returns samples of each level for frames whose first and last centres lie ``span`` samples apart."""
        return [
            low + span // step + high + 1 for low, step, high in zip(self.before, self.steps, self.after, strict=True)
        ]


def bin_frequencies(fmin: float, n_bins: int, bins_per_octave: int) -> Tensor:
    """Returns Hz of the bins, float64 ``[n_bins]``."""
    hertz: Tensor = fmin * torch.exp2(torch.arange(n_bins, dtype=torch.float64) / bins_per_octave)
    return hertz


def most_bins(nyquist: float, fmin: float, bins_per_octave: int) -> int:
    """Returns the number of bins from ``fmin`` on that lie at or below half the sample rate."""
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


def plan(wavelets: Wavelets, hop_length: int, *, octaves: bool) -> Plan:
    """Returns groups of bins, on signals decimated as far as that pays (not at all without ``octaves``)."""
    rate, sizes = wavelets.sample_rate, wavelets.lengths.tolist()
    edges = wavelets.frequencies + _reach(wavelets.window) * rate / wavelets.lengths
    # A frame's centre lies between the samples of a decimated signal in no more than `PERIOD` ways.
    deepest = (hop_length & -hop_length).bit_length() - 1 + PERIOD.bit_length() - 1
    room = torch.log2(KEPT * rate / edges).floor().clamp(0, deepest if octaves else 0).int().tolist()
    halvings = _worthwhile(room, sizes, hop_length)
    levels = [bisect.bisect_right(halvings, most) - 1 for most in room]
    groups: list[Group] = []
    start = 0
    for k in range(1, len(levels) + 1):
        alike = k < len(levels) and levels[k] == levels[start]
        if alike and (k - start < FEW or sizes[start] <= MOST_SPREAD * sizes[k]):
            continue
        groups.append(_group(levels[start], 2 ** halvings[levels[start]], start, k, sizes[start:k], hop_length))
        start = k
    return _with_margins(groups, [2**times for times in halvings])


def _worthwhile(room: list[int], lengths: list[float], hop_length: int) -> list[int]:
    """Returns how often each level's signal is halved, for the fewest products per sample of the input.

    Args:
        room: how often the signal of each bin may be halved.
        lengths: of the bins' filters, in samples of the input.
        hop_length: samples between frames.
    """
    taps = [0.0] * (max(room) + 1)
    for most, length in zip(room, lengths, strict=True):
        taps[most] += 2 * length / hop_length
    best: list[tuple[float, list[int]]] = []
    for low in range(len(taps) - 1, -1, -1):
        ways = [(sum(taps[low:]) / 2**low, [low])]
        for cost, chain in best:
            ways.append((sum(taps[low : chain[0]]) / 2**low + 3 * ROW / 2**low + cost, [low, *chain]))
        best.append(min(ways))
    return best[-1][1]


def _with_margins(groups: list[Group], steps: list[int]) -> Plan:
    """Returns a plan whose margins at each level are as wide as its own filters and the next level need."""
    before, after = [0] * len(steps), [0] * len(steps)
    for level in range(len(steps) - 1, -1, -1):
        if level + 1 < len(steps):
            factor = steps[level + 1] // steps[level]
            before[level], after[level] = (int(factor * (wide[level + 1] + TAPS)) for wide in (before, after))
        for group in groups:
            if group.level == level:
                before[level] = max(before[level], -group.low)
                after[level] = max(after[level], group.low + group.width - 1)
    return Plan(groups, steps, before, after)


def _group(level: int, step: int, first: int, last: int, lengths: list[float], hop_length: int) -> Group:
    period = step // math.gcd(step, hop_length)
    late = step - math.gcd(step, hop_length)
    low = -(-min(math.floor(-length / 2) for length in lengths) // step)
    high = (max(math.floor(length / 2) for length in lengths) - 1 + late) // step
    return Group(level, step, first, last, low, high - low + 1, period)


def kernels(group: Group, wavelets: Wavelets, hop_length: int) -> Tensor:
    """Returns real parts above imaginary parts of a group's filters, float64 ``[period, 2 * bins, width]``.

    Entry j of the first axis is for frames ``t = j (mod period)``.
    """
    bins = slice(group.first, group.last)
    hertz, sizes = wavelets.frequencies[bins, None], wavelets.lengths[bins, None]
    begin = torch.floor(-sizes / 2)
    count = torch.floor(sizes / 2) - begin
    step = group.step
    late = (torch.arange(group.period) * hop_length % step).double().reshape(-1, 1, 1)
    taps = (torch.arange(group.width) + group.low).double() * step - late
    phase = (taps - begin) / count
    inside = (taps >= begin) & (taps < begin + count)
    values = torch.where(count == 1, 1.0, windows.at(wavelets.window, phase.clamp(0, 1))) * inside
    scale = sizes.sqrt() * step / _norms(wavelets._replace(lengths=sizes))
    angles = 2 * torch.pi * (taps * (hertz / wavelets.sample_rate)).remainder(1.0)
    return torch.cat([torch.cos(angles) * values * scale, -torch.sin(angles) * values * scale], 1)


def gains(wavelets: Wavelets) -> Tensor:
    """Returns the gain of each bin for a tone ``exp(i w n)`` at the bin's frequency, float64 ``[n_bins]``."""
    return wavelets.lengths.sqrt() * _norms(wavelets._replace(norm=1)) / _norms(wavelets)


def _norms(wavelets: Wavelets) -> Tensor:
    """Returns the divisors of the filters: the norm of their windows; without a norm 1, or nnAudio's length."""
    lengths, norm = wavelets.lengths, wavelets.norm
    if norm is None:
        return lengths if wavelets.filters == "nnaudio" else torch.ones_like(lengths)
    counts = torch.floor(lengths / 2) - torch.floor(-lengths / 2)
    result = torch.empty_like(counts)
    for place, count in enumerate(counts.flatten().tolist()):
        result.view(-1)[place] = _norm(wavelets.window, int(count), norm)
    return result


def _norm(window: windows.Window, count: int, norm: float) -> float:
    """Returns the norm of a window of so many samples, in closed form where there is one."""
    weights = windows.COSINES.get(window, ()) if isinstance(window, str) else ()
    if norm == 1 and weights and count > len(weights):
        return weights[0] * count
    if norm == 2 and weights and count > 2 * len(weights):
        return math.sqrt(count * (weights[0] ** 2 + sum(weight**2 for weight in weights[1:]) / 2))
    if count <= 1:
        return 1.0
    if norm == math.inf:
        return float(windows.at(window, torch.tensor([count // 2 / count], dtype=torch.float64)))
    samples = windows.at(window, torch.arange(count, dtype=torch.float64) / count)
    return float(torch.linalg.vector_norm(samples, norm))


def _reach(window: windows.Window) -> float:
    """Returns the units of 1 / length beyond which a window's spectrum counts as 0."""
    return REACH.get(window, math.inf) if isinstance(window, str) else math.inf
