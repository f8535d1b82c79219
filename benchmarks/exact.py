"""Spectrograms in float64, from their definitions and by numpy: what the errors in the tables are differences from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ontheflyspec.functional.filterbanks import triangular_filterbank

Array = NDArray[Any]
TOGETHER = 32
"""Constant-Q filters in one product."""
ROWS = 512
"""Frames in one product."""


def hann(count: int) -> Array:
    """Returns a periodic Hann window."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(count) / count)


def frames(wave: Array, n_fft: int, hop: int) -> Array:
    """Returns windowed, centred frames ``[N, n_fft]`` of a wave reflected at its ends."""
    signal = np.pad(wave.astype(np.float64), n_fft // 2, mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(signal, n_fft)[::hop] * hann(n_fft)


def stft(wave: Array, n_fft: int, hop: int) -> Array:
    """Returns magnitudes ``[n_fft // 2 + 1, N]``."""
    return np.abs(np.fft.rfft(frames(wave, n_fft, hop))).T


def log_stft(wave: Array, rate: float, n_fft: int, hop: int, fmin: float, fmax: float) -> Array:
    """Returns magnitudes at ``n_fft // 2 + 1`` frequencies evenly spaced in pitch from ``fmin`` to below ``fmax``."""
    count = n_fft // 2 + 1
    hertz = fmin * (fmax / fmin) ** (np.arange(count) / count)
    angles = 2 * np.pi / rate * np.arange(n_fft)[:, None] * hertz
    cut = frames(wave, n_fft, hop)
    return np.hypot(cut @ np.cos(angles), cut @ np.sin(angles)).T


def mel(wave: Array, rate: float, n_fft: int, hop: int, bands: int) -> Array:
    """Returns mel powers ``[bands, N]``; the filters are ours, which are librosa's in float64."""
    bank = triangular_filterbank(rate, n_fft, bands, 0.0, rate / 2, "slaney", "slaney").numpy()
    return bank @ stft(wave, n_fft, hop) ** 2


def cqt(
    waves: Sequence[Array],
    places: Sequence[Array],
    *,
    rate: float,
    hop: int,
    fmin: float,
    bins: int,
    per_octave: int,
    filters: str,
) -> list[Array]:
    """Returns magnitudes ``[bins, n]`` of each wave at n of its frames: each filter times the samples around them.

    Args:
        waves: samples, 0 beyond their ends.
        places: numbers of frames, for each wave.
        rate: Hz.
        hop: samples between frames.
        fmin: Hz of the lowest bin.
        bins: how many.
        per_octave: bins per octave.
        filters: ``"librosa"`` or ``"nnaudio"``: whose lengths.
    """
    ratio = 2.0 ** (1 / per_octave)
    hertz = fmin * ratio ** np.arange(bins)
    if filters == "librosa":
        lengths = (ratio**2 + 1) / (ratio**2 - 1) * rate / hertz
    else:
        lengths = np.ceil(1 / (ratio - 1) * rate / hertz)
    first, last = np.floor(-lengths / 2).astype(int), np.floor(lengths / 2).astype(int)
    padded = [np.pad(wave.astype(np.float64), (-first[0], last[0])) for wave in waves]
    out = [np.empty((bins, len(own))) for own in places]
    for low in range(0, bins, TOGETHER):
        chosen = np.arange(low, min(low + TOGETHER, bins))
        begin, span = first[low], last[low] - first[low]
        taps = np.zeros((2, len(chosen), span))
        for k, cosine, sine in zip(chosen, *taps, strict=True):
            n = np.arange(first[k], last[k])
            size = hann(len(n))
            size *= np.sqrt(lengths[k]) / size.sum()
            angles = 2 * np.pi * hertz[k] / rate * n
            cosine[n - begin], sine[n - begin] = size * np.cos(angles), size * np.sin(angles)
        for wave, own, result in zip(padded, places, out, strict=True):
            starts = own * hop + begin - first[0]
            for row in range(0, len(own), ROWS):
                cut = np.stack([wave[start : start + span] for start in starts[row : row + ROWS]])
                result[chosen, row : row + ROWS] = np.hypot(*(taps @ cut.T))
    return out
