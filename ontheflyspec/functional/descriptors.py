"""Spectral centroid, bandwidth, roll-off, flatness and contrast, RMS energy and zero-crossing rate of each frame."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ontheflyspec.framing import Framing
from ontheflyspec.functional.decibels import decibels
from ontheflyspec.functional.scales import bin_frequencies
from ontheflyspec.functional.signal_frames import ends, take, zero_padding
from ontheflyspec.functional.statistics import running_sum
from ontheflyspec.functional.stft import present, raise_power, safe_sqrt, without_faint_slopes
from ontheflyspec.kept import count_up
from ontheflyspec.op import Op

ContrastBand = tuple[int, int, int]
"""First and last + 1 bin of a band, and how many of its bins make its peak and its valley."""
SILENT = 1e-10
"""Magnitude up to which samples count as 0, and 0 as positive, in zero crossings."""


def contrast_bands(sample_rate: float, n_fft: int, n_bands: int, fmin: float, quantile: float) -> list[ContrastBand]:
    """Returns the bins of ``n_bands + 1`` bands: up to ``fmin``, then octaves, the last one up to half the rate.

    The split is that of ``librosa.feature.spectral_contrast``; an octave without bins has last <= first.
    """
    hertz = bin_frequencies(sample_rate, n_fft)
    edges = [0.0, *(fmin * 2.0**octave for octave in range(n_bands + 1))]
    bands = []
    for place, (low, high) in enumerate(itertools.pairwise(edges)):
        first, last = int((hertz < low).sum()), int((hertz <= high).sum())
        if place:
            first = first - 1 if first < last else len(hertz)
        if place == n_bands:
            last = len(hertz)
        bands.append((first, last - (place < n_bands), max(round(quantile * (last - first)), 1)))
    return bands


@Op
def frame_rows(
    frames: Tensor, _: Tensor | None, *, features: Mapping[str, Any], window: Tensor, hertz: Tensor
) -> Tensor:
    """Returns descriptors ``[..., R, n]`` of frames ``[..., n, n_fft]``, one row each, in the order asked for.

    Args:
        frames: not yet windowed.
        _: lengths, not used.
        features: which descriptors, each with its parameter: ``"rms"`` and ``"centroid"`` (None), ``"bandwidth"``
            (exponent of the distances from the centroid), ``"rolloff"`` (share of the magnitudes below it),
            ``"flatness"`` (smallest power that counts), ``"contrast"`` (bands of `contrast_bands`; a row for the peak
            of each band, then one for the valley of each).
        window: ``[n_fft]``.
        hertz: frequencies of the bins, ``[bins]``.
    """
    rows: dict[str, Tensor] = {}
    if "rms" in features:
        rows["rms"] = safe_sqrt(frames.square().mean(-1).unsqueeze(-2))
    if features.keys() - {"rms"}:
        spectrum = torch.view_as_real(torch.fft.rfft(frames * window)).movedim(-1, 0)
        power = present((spectrum[0], spectrum[1]), "power").transpose(-1, -2)
        if "flatness" in features:
            kept = power.clamp(min=features["flatness"])
            rows["flatness"] = kept.log().mean(-2, keepdim=True).exp() / kept.mean(-2, keepdim=True)
        magnitude, hertz = safe_sqrt(power).contiguous(), hertz.unsqueeze(-1)  # sums depend on the layout
        if "centroid" in features or "bandwidth" in features:
            rows |= _centroid_and_bandwidth(magnitude, hertz, features.get("bandwidth", 2.0))
        if "rolloff" in features:
            below = running_sum(magnitude, -2)
            index = (below < features["rolloff"] * below[..., -1:, :]).sum(-2, keepdim=True)
            rows["rolloff"] = hertz[index.flatten(), 0].reshape(index.shape)
        if "contrast" in features:
            rows["contrast"] = _peaks_and_valleys(magnitude, features["contrast"])
    return torch.cat([rows[feature] for feature in features], -2)


def _centroid_and_bandwidth(magnitude: Tensor, hertz: Tensor, p: float) -> dict[str, Tensor]:
    total = magnitude.sum(-2, keepdim=True)
    share = without_faint_slopes(magnitude / total.masked_fill(total < torch.finfo(total.dtype).tiny, 1), total)
    centroid = (share * hertz).sum(-2, keepdim=True)
    away = (hertz - centroid).square() if p == 2 else (hertz - centroid).abs().pow(p)
    return {"centroid": centroid, "bandwidth": raise_power((share * away).sum(-2, keepdim=True), 2 / p)}


def _peaks_and_valleys(magnitude: Tensor, bands: Sequence[ContrastBand]) -> Tensor:
    """Returns the mean of each band's largest magnitudes, then the mean of each band's smallest."""
    rows = []
    for largest in (True, False):
        for first, last, count in bands:
            band = magnitude[..., first:last, :]
            rows.append(band.topk(min(count, last - first), -2, largest).values.mean(-2, keepdim=True))
    return torch.cat(rows, -2)


@Op
def contrast(peaks: Tensor, lengths: Tensor | None) -> Tensor:
    """Returns spectral contrast, dB from valley to peak, ``[..., K, N]`` for ``[..., 2 K, N]`` peaks and valleys.

    Peaks are floored at 80 dB below the item's own largest peak and at -100 dB, valleys likewise.
    """

    def scaled(part: Tensor) -> Tensor:
        return decibels.reference(part, lengths, stype="power", ref=1.0, amin=1e-10, top_db=80.0)

    peak, valley = peaks.chunk(2, -2)
    return scaled(peak) - scaled(valley)


def crossing_rate(x: Tensor, lengths: Tensor | None, framing: Framing) -> Tensor:
    """Returns the zero-crossing rate, the share of a frame's samples that differ in sign from the sample before.

    Beyond its own ends a signal goes on with its first and last sample. Crossings are summed from the signal's start
    in whole numbers, so that a frame's count is one difference, without rounding.

    Args:
        x: floats ``[..., T]``.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        framing: where frames lie.

    Shape: ``[..., 1, N]``, 0 past each item's frames.
    """
    count = framing.count(x.shape[-1])
    if x.shape[-1] == 0 or count == 0:
        return x.new_zeros(*x.shape[:-1], 1, count)
    negative = x < -SILENT
    changes = torch.nn.functional.pad(negative[..., 1:] != negative[..., :-1], (1, 0))
    crossed = changes.cumsum(-1, dtype=torch.int32)
    starts = count_up(count, x.device) * framing.hop_length - framing.before
    last = (ends(x, lengths) - 1).clamp(min=0)

    def until(places: Tensor) -> Tensor:
        return take(crossed, torch.minimum(places.clamp(min=0), last))

    rate = ((until(starts + framing.n_fft - 1) - until(starts)).to(x.dtype) / framing.n_fft).unsqueeze(-2)
    return rate if lengths is None else zero_padding(rate, framing.count(lengths))
