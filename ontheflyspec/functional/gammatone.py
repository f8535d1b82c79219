"""Gammatone filter banks: magnitudes over FFT bins, impulse responses, ERB-spaced centres, and filtered energies."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ontheflyspec.framing import Framing
from ontheflyspec.functional.signal_frames import frames, zero_padding
from ontheflyspec.functional.stft import raise_power
from ontheflyspec.op import Op
from ontheflyspec.precision import matmul
from ontheflyspec.torch_internals import parts_of, tiles

EAR_Q, LEAST_BANDWIDTH = 9.26449, 24.7
"""Of Glasberg and Moore: the equivalent rectangular bandwidth (ERB) at f is ``f / EAR_Q + LEAST_BANDWIDTH`` Hz."""
WIDENING = 1.019
"""Bandwidth parameter of a fourth-order gammatone filter in ERBs."""
MOST = 1 << 25
"""Filtered samples that are made together."""
DECAY = 23.0
"""Time t at which ``t^3 exp(-t)`` has fallen to 120 dB below its peak."""


def erb_frequencies(n_bins: int, fmin: float, fmax: float) -> Tensor:
    """Returns centre frequencies in Hz, evenly spaced on the ERB scale from ``fmin`` to below ``fmax``, float64."""
    corner = EAR_Q * LEAST_BANDWIDTH
    steps = torch.arange(n_bins, 0, -1, dtype=torch.float64) / n_bins
    centres = (fmax + corner) * torch.exp(steps * math.log((fmin + corner) / (fmax + corner))) - corner
    return centres.clamp(min=fmin)


def bandwidths(centres: Tensor) -> Tensor:
    """Returns equivalent rectangular bandwidths (ERB) in Hz."""
    return centres / EAR_Q + LEAST_BANDWIDTH


def gammatone_filterbank(sample_rate: float, n_fft: int, centres: Tensor, power: float, norm: str | None) -> Tensor:
    """Returns gammatone filters' magnitudes at FFT bins, to the power ``power``, float64 ``[F, n_fft // 2 + 1]``.

    Slaney's cascade: four zeros and four double poles, of gain 1 at the centre.

    Args:
        sample_rate: Hz of the samples.
        n_fft: samples of a frame.
        centres: Hz, float64 ``[F]``.
        power: exponent of the magnitudes of the spectra that are filtered.
        norm: ``"slaney"`` to divide each by its bandwidth in Hz, or None.
    """
    angles = 2 * math.pi * centres / sample_rate
    radii = torch.exp(-2 * math.pi * WIDENING * bandwidths(centres) / sample_rate)
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * (2 * math.pi / n_fft)
    made = _cascade(bins, angles[:, None], radii[:, None]) / _cascade(angles, angles, radii)[:, None]
    return made**power / (bandwidths(centres)[:, None] if norm == "slaney" else 1)


def _cascade(at: Tensor, angles: Tensor, radii: Tensor) -> Tensor:
    """Returns the magnitude of Slaney's cascade at angles on the unit circle, not yet of gain 1."""
    point = torch.polar(torch.ones_like(at), at)
    pole = torch.polar(radii, angles)
    result = ((point - pole) * (point - pole.conj())).abs() ** -4
    for slope in (math.sqrt(2) + 1, math.sqrt(2) - 1):
        for sign in (1, -1):
            result = result * (point - radii * (torch.cos(angles) + sign * slope * torch.sin(angles))).abs()
    return result


def impulse_responses(sample_rate: float, centres: Tensor, power: float, norm: str | None) -> Tensor:
    """Returns gammatone impulse responses ``t^3 exp(-2 pi b t) cos(2 pi f t)`` of gain 1 at f, float64 ``[F, taps]``.

    They end where the slowest envelope has fallen to 120 dB below its peak.

    Args:
        sample_rate: Hz of the samples.
        centres: f in Hz, float64 ``[F]``.
        power: exponent of the filtered signals' magnitudes.
        norm: ``"slaney"`` to divide these by each filter's bandwidth in Hz, or None.
    """
    decays = 2 * math.pi * WIDENING * bandwidths(centres)[:, None]
    taps = math.ceil(DECAY * sample_rate / float(decays.min()))
    time = torch.arange(taps, dtype=torch.float64) / sample_rate
    angles = 2 * math.pi * centres[:, None] * time
    made = (decays * time) ** 3 * torch.exp(-decays * time)
    gain = (made * torch.cos(angles) * torch.polar(torch.ones_like(angles), -angles)).sum(1, keepdim=True).abs()
    scale = bandwidths(centres)[:, None] ** (-1 / power) if norm == "slaney" else 1
    return made * torch.cos(angles) / gain * scale


class Segments:
    """Filtering of signals and pooling of their energies in segments of one FFT, of ``frames`` frames each.

    Args:
        responses: impulse responses ``[F, taps]``.
        window: weights of a frame's samples, ``[n_fft]``.
        framing: where frames lie.
        power: exponent of the root mean squares.
    """

    def __init__(self, responses: Tensor, window: Tensor, framing: Framing, power: float) -> None:
        self.taps, self.framing, self.power = responses.shape[1], framing, power
        # Of sum 1, in pieces of a hop, ``[hop_length, pieces]``.
        window = window.clamp(min=0)
        padded = torch.nn.functional.pad(window / window.sum(), (0, -framing.n_fft % framing.hop_length))
        self.weights = padded.reshape(-1, framing.hop_length).t()
        # A power of two, of which filters and frames overlap in a quarter at most.
        self.size = 1 << (4 * (self.taps + max(framing.n_fft, framing.hop_length)) - 1).bit_length()
        self.frames = (self.size - self.taps + 1) // framing.hop_length - self.weights.shape[1] + 1
        self.spectra = torch.fft.rfft(responses, n=self.size)

    def number(self, count: int) -> int:
        """Returns how many segments hold so many frames."""
        return tiles(-(-count // self.frames)) if count else 1

    def widened(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns signals extended for frames, with zeros on both sides that make up whole segments."""
        signal, count = frames(x, lengths, self.framing)
        before, step = self.taps - 1, self.frames * self.framing.hop_length
        after = (self.number(count) - 1) * step + self.size - before - signal.shape[-1]
        return torch.nn.functional.pad(signal, (before, after))

    def magnitudes(self, signal: Tensor, first: int) -> Tensor:
        """Returns `magnitudes` of the segment of widened signals that begins with frame ``first``."""
        start = first * self.framing.hop_length
        return self.of_cut(signal[..., start : start + self.size])

    def of_cut(self, cut: Tensor) -> Tensor:
        """Returns `magnitudes` of segments that are cut out already, ``[..., F, frames]``."""
        segment = torch.fft.rfft(cut)
        let_through = torch.fft.irfft(segment.unsqueeze(-2) * self.spectra, n=self.size)[..., self.taps - 1 :]
        return raise_power(_means(let_through.square(), self.weights), self.power)


@Op
def magnitudes(
    x: Tensor, lengths: Tensor | None, *, responses: Tensor, window: Tensor, framing: Framing, power: float
) -> Tensor:
    """Returns the window-weighted root mean square of filtered signals in each frame, to the power ``power``.

    Filters run over the signal as extended for frames, in segments that bound the memory.

    Args:
        x: float ``[B, ..., T]``.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        responses: impulse responses ``[F, taps]``.
        window: weights of a frame's samples, ``[n_fft]``.
        framing: where frames lie.
        power: exponent.

    Shape: ``[B, ..., F, N]``, 0 past each item's frames.
    """
    segments, count = Segments(responses, window, framing, power), framing.count(x.shape[-1])
    cuts = segments.widened(x, lengths).unfold(-1, segments.size, segments.frames * framing.hop_length)
    rows = cuts.flatten(0, -2)
    each = max(MOST // (segments.size * responses.shape[0]), 1)
    made = torch.cat([segments.of_cut(part) for part in parts_of(rows, each)])
    made = made.reshape(*x.shape[:-1], segments.number(count), *made.shape[1:]).transpose(-3, -2)
    out = made.flatten(-2)[..., :count]
    return out if lengths is None else zero_padding(out, framing.count(lengths))


def _means(values: Tensor, weights: Tensor) -> Tensor:
    """Returns weighted sums ``[..., frames]`` of values ``[..., samples]``, a frame every hop.

    Each hop of values is multiplied by each hop of weights once, in one product; a frame adds up a diagonal.
    """
    hop_length, pieces = weights.shape
    hops = values.shape[-1] // hop_length
    met = matmul(values[..., : hops * hop_length].reshape(*values.shape[:-1], hops, hop_length), weights)
    along: Tensor = met.flatten(-2).unfold(-1, pieces * pieces, pieces)
    return along[..., :: pieces + 1].sum(-1)
