"""Combined frequency and periodicity (CFP): generalised spectra and cepstra on one axis of log frequency."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ontheflyspec.functional.filterbanks import FilterBlock
from ontheflyspec.functional.stft import raise_power
from ontheflyspec.op import Op
from ontheflyspec.precision import matmul

FLOOR = 1e-12
"""Share of a transform's first value below which values are rounding error, which a power below 1 would amplify."""
LOG_FLOOR = 1e-8
"""Added before a logarithm."""


def centres(fmin: float, fmax: float, bins_per_octave: int) -> Tensor:
    """Returns centre frequencies in Hz, from ``fmin`` up to but without ``fmax``, float64."""
    count = math.ceil(math.log2(fmax / fmin) * bins_per_octave - 1e-9)
    return fmin * 2 ** (torch.arange(count, dtype=torch.float64) / bins_per_octave)


def interpolating_triangles(places: Tensor, size: int) -> Tensor:
    """Returns triangular filters over the points 0 to ``size - 1``, float64 ``[F, size]``, of peak 1.

    Each reaches from its left to its right neighbour, but at least one point to both sides, so that the narrow ones
    interpolate between points instead of falling between them.

    Args:
        places: peaks of the filters with one more at both ends, rising, ``[F + 2]``.
        size: points.
    """
    points = torch.arange(size, dtype=torch.float64)
    left, centre, right = places[:-2, None], places[1:-1, None], places[2:, None]
    rising = (points - centre) / (centre - left).clamp(min=1) + 1
    falling = (centre - points) / (right - centre).clamp(min=1) + 1
    return torch.minimum(rising, falling).clamp(min=0)


def filters(
    axis: str, sample_rate: float, n_fft: int, fmin: float, fmax: float, bins_per_octave: int, published: bool
) -> Tensor:
    """Returns filters of log frequency over FFT bins or lags, float64 ``[F, n_fft // 2 + 1]``.

    Args:
        axis: ``"bins"`` or ``"lags"``.
        sample_rate: Hz.
        n_fft: points of a transform.
        fmin: Hz of the first filter's peak.
        fmax: Hz that all peaks lie below.
        bins_per_octave: filters of an octave.
        published: whether filters are those of the method's published code, see `published_triangles`; else see
            `interpolating_triangles`.
    """
    hertz, size = centres(fmin, fmax, bins_per_octave), n_fft // 2 + 1
    if published:
        return published_triangles(axis, hertz, size, sample_rate, n_fft)
    step = 2 ** (1 / bins_per_octave)
    around = torch.cat([hertz[:1] / step, hertz, hertz[-1:] * step])
    if axis == "bins":
        return interpolating_triangles(around * n_fft / sample_rate, size)
    return interpolating_triangles((sample_rate / around).flip(0), size).flip(0)


def published_triangles(axis: str, hertz: Tensor, size: int, sample_rate: float, n_fft: int) -> Tensor:
    """Returns the triangular filters of the published code with its oddities, ``[F - 1, size]``.

    The first filter is empty and the last one missing; so is every filter that lies between two lags. A point right at
    a peak has weight 0, and the bin before the last is taken to lie at half the sample rate.
    """
    points = torch.arange(size, dtype=torch.float64)
    places = points * (sample_rate / 2 / (n_fft // 2 - 1)) if axis == "bins" else sample_rate / points
    left, centre, right = hertz[:-2, None], hertz[1:-1, None], hertz[2:, None]
    rising, falling = (places - left) / (centre - left), (right - places) / (right - centre)
    inner = torch.where(places < centre, rising, falling).clamp(min=0) * (places != centre)
    if axis == "bins":
        first, last = (left * n_fft / sample_rate).round(), (right * n_fft / sample_rate).round()
        inner = torch.where(first == last, (points == first).double(), inner * (first <= points) * (points <= last))
    return torch.nn.functional.pad(inner, (0, 0, 1, 0))


def cuts(n_fft: int, cut_lag: int, cut_bin: int) -> Tensor:
    """Returns the lifters of cepstra and of spectra, high-pass masks that remove short lags and low bins.

    There are two of each kind, cepstra first: the mask itself for the output, and its even part for the next transform.

    Args:
        n_fft: points of a transform.
        cut_lag: lags at both ends of a cepstrum that are set to 0.
        cut_bin: bins at both ends of a spectrum that are set to 0.

    Shape: float64 ``[4, n_fft // 2 + 1]``.
    """
    made = []
    places = torch.arange(n_fft)
    for cut in (cut_lag, cut_bin):
        kept = ((places >= cut) & (places < n_fft - cut)).double()
        made += [kept, (kept + kept.flip(0).roll(1)) / 2]
    return torch.stack(made)[:, : n_fft // 2 + 1]


def layers(frames: Tensor, gamma: Sequence[float], kept: Tensor) -> list[Tensor]:
    """Returns the spectrum, its cepstrum, the cepstrum's spectrum and so on, ``[..., n_fft // 2 + 1]`` each.

    Args:
        frames: windowed, ``[..., n_fft]``.
        gamma: power of each transform's result in turn, 0 for a logarithm.
        kept: of `cuts`.
    """
    n_fft = frames.shape[-1]
    parts = torch.view_as_real(torch.fft.rfft(frames))
    seen = raise_power(parts[..., 0].square() + parts[..., 1].square(), gamma[0])
    made = [seen]
    for place, power in enumerate(gamma[1:]):
        values = _bend(torch.fft.irfft(seen, n_fft, norm="ortho")[..., : n_fft // 2 + 1], power)
        shown, even = kept.chunk(2)[place % 2]
        made.append(values * shown)
        seen = values * even
    return made


def _bend(values: Tensor, power: float) -> Tensor:
    """Returns values above the floor to a power (logarithms for 0), and 0 for the others, with finite gradients."""
    dropped = values <= FLOOR * values[..., :1].clamp(min=0)
    if power == 0:
        return values.masked_fill(dropped, 0).add(LOG_FLOOR).log()
    if power == 1:
        return values.masked_fill(dropped, 0)
    return values.masked_fill(dropped, 1).pow(power).masked_fill(dropped, 0)


Bank = tuple[Tensor, list[FilterBlock]]
"""Filters ``[F, n_fft // 2 + 1]``, and the runs of `filterbanks.bands` for fast products."""


def at_once(bank: Bank, values: Tensor) -> Tensor:
    """Returns filter outputs ``[..., F, n]`` of ``[..., n, n_fft // 2 + 1]`` by one dense product."""
    weights, _ = bank
    return matmul(weights, values.to(weights.dtype).transpose(-1, -2))


@Op
def combine(
    frames: Tensor,
    _: Tensor | None,
    *,
    gamma: Sequence[float],
    kept: Tensor,
    banks: tuple[Bank, Bank],
    output: str,
    times: Callable[[Bank, Tensor], Tensor] = at_once,
) -> Tensor:
    """Returns CFP features ``[..., F, n]`` of windowed frames ``[..., n, n_fft]``; see `layers`.

    Args:
        frames: ``[..., n, n_fft]``.
        _: lengths, not used.
        gamma: as in `layers`.
        kept: of `cuts`.
        banks: filters of spectra (over bins), and of cepstra (over lags).
        output: ``"spectrum"``, ``"cepstrum"``, ``"gcos"`` (the cepstrum's spectrum), or ``"cfp"``, the product of the
            last two.
        times: computes filter outputs, as `at_once`.
    """
    (over_bins, over_lags), even = banks, len(gamma) // 2 * 2
    made = layers(frames, gamma[: {"spectrum": 1, "cepstrum": even}.get(output, len(gamma))], kept)
    if output == "spectrum":
        return times(over_bins, made[0])
    if output == "cepstrum":
        return times(over_lags, made[even - 1])
    high = times(over_bins, made[(len(gamma) - 1) // 2 * 2])
    return high if output == "gcos" else high * times(over_lags, made[even - 1])
