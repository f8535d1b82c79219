"""Gammatone filters: their responses over FFT bins and in time, and the energy of what they let through."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ontheflyspec import threads
from ontheflyspec.functional.blocks import applicable
from ontheflyspec.functional.fourier import raise_power
from ontheflyspec.functional.framing import cut, frame_count, frames

EAR_Q, LEAST_BANDWIDTH = 9.26449, 24.7
"""Glasberg and Moore's: a bandwidth is ``f / EAR_Q + LEAST_BANDWIDTH`` Hz."""
WIDENING = 1.019
"""Bandwidths of a fourth-order gammatone's decay in those of the ear."""
DECAY = 23.0
"""``t^3 exp(-t)`` is 120 dB below its peak there."""


def erb_frequencies(n_bins: int, fmin: float, fmax: float) -> Tensor:
    """Returns Hz of centres, evenly spaced in bandwidths of the ear, from ``fmin`` to below ``fmax``, float64."""
    corner = EAR_Q * LEAST_BANDWIDTH
    steps = torch.arange(n_bins, 0, -1, dtype=torch.float64) / n_bins
    centres = (fmax + corner) * torch.exp(steps * math.log((fmin + corner) / (fmax + corner))) - corner
    return centres.clamp(min=fmin)


def bandwidths(centres: Tensor) -> Tensor:
    """Returns equivalent rectangular bandwidths of the ear in Hz."""
    return centres / EAR_Q + LEAST_BANDWIDTH


def gammatone_filterbank(sample_rate: float, n_fft: int, centres: Tensor, power: float, norm: str | None) -> Tensor:
    """Returns responses at FFT bins, to the power ``power``, float64 ``[F, n_fft // 2 + 1]``.

    Slaney's cascade: four zeros and four double poles, 1 at the centre.

    Args:
        sample_rate: Hz of the samples.
        n_fft: samples of a frame.
        centres: Hz, float64 ``[F]``.
        power: exponent of the magnitudes that the result is multiplied with.
        norm: ``"slaney"`` to divide each by its bandwidth in Hz, or None.
    """
    angles = 2 * math.pi * centres / sample_rate
    radii = torch.exp(-2 * math.pi * WIDENING * bandwidths(centres) / sample_rate)
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * (2 * math.pi / n_fft)
    made = _cascade(bins, angles[:, None], radii[:, None]) / _cascade(angles, angles, radii)[:, None]
    return made**power / (bandwidths(centres)[:, None] if norm == "slaney" else 1)


def _cascade(at: Tensor, angles: Tensor, radii: Tensor) -> Tensor:
    """Returns the magnitude at angles on the unit circle, without a gain."""
    point = torch.polar(torch.ones_like(at), at)
    pole = torch.polar(radii, angles)
    result = ((point - pole) * (point - pole.conj())).abs() ** -4
    for slope in (math.sqrt(2) + 1, math.sqrt(2) - 1):
        for sign in (1, -1):
            result = result * (point - radii * (torch.cos(angles) + sign * slope * torch.sin(angles))).abs()
    return result


def impulse_responses(sample_rate: float, centres: Tensor, power: float, norm: str | None) -> Tensor:
    """Returns ``t^3 exp(-2 pi b t) cos(2 pi f t)`` with a gain of 1 at f, to 120 dB below, float64 ``[F, taps]``.

    Args:
        sample_rate: Hz of the samples.
        centres: f in Hz, float64 ``[F]``.
        power: exponent of the magnitudes that are made of what the filters let through.
        norm: ``"slaney"`` so that these are divided by each filter's bandwidth in Hz, or None.
    """
    decays = 2 * math.pi * WIDENING * bandwidths(centres)[:, None]
    taps = math.ceil(DECAY * sample_rate / float(decays.min()))
    time = torch.arange(taps, dtype=torch.float64) / sample_rate
    angles = 2 * math.pi * centres[:, None] * time
    made = (decays * time) ** 3 * torch.exp(-decays * time)
    gain = (made * torch.cos(angles) * torch.polar(torch.ones_like(angles), -angles)).sum(1, keepdim=True).abs()
    scale = bandwidths(centres)[:, None] ** (-1 / power) if norm == "slaney" else 1
    return made * torch.cos(angles) / gain * scale


def magnitudes(
    x: Tensor,
    lengths: Tensor | None,
    responses: Tensor,
    window: Tensor,
    *,
    power: float,
    hop_length: int,
    center: bool,
    pad_mode: str,
) -> Tensor:
    """Returns the window-weighted root mean square of filtered signals in each frame, to the power ``power``.

    Filters run over the signal as it is extended for frames; on a CPU, where nothing requires grad, over each item by
    itself. What is filtered at a time is bounded, by a convolution in blocks of frames.

    Args:
        x: float ``[B, ..., T]``.
        lengths: int64 ``[B]``, on the host if ``x`` is, None if all items are full.
        responses: ``[F, taps]``.
        window: ``[n_fft]``.
        power: exponent.
        hop_length: samples between frames.
        center: whether frame t has its centre at ``t * hop_length``.
        pad_mode: how a signal goes on beyond its ends.

    Shape: ``[B, ..., F, N]``, 0 past each item's frames.
    """
    n_fft, taps = window.shape[0], responses.shape[1]
    framing: dict[str, Any] = {"n_fft": n_fft, "hop_length": hop_length, "center": center}
    size = _segment(taps, n_fft, hop_length)
    spectra, weights = torch.fft.rfft(responses, n=size), _weights(window, hop_length)
    block = (size - taps + 1) // hop_length - weights.shape[1] + 1

    def widened(x: Tensor, lengths: Tensor | None) -> Tensor:
        signal, _ = frames(x, lengths, pad_mode=pad_mode, **framing)
        return torch.nn.functional.pad(signal, (taps - 1, size))

    def compute(signal: Tensor, first: int) -> Tensor:
        segment = torch.fft.rfft(signal[..., first * hop_length : first * hop_length + size])
        let_through = torch.fft.irfft(segment.unsqueeze(-2) * spectra, n=size)[..., taps - 1 :]
        return raise_power(_means(let_through.square(), weights), power)

    count = frame_count(x.shape[-1], **framing)
    if applicable(x, responses):
        return _by_item(x, lengths, widened, compute, partial(frame_count, **framing), block, responses.shape[0])
    signal = widened(x, lengths)
    out = torch.cat([compute(signal, first) for first in range(0, max(count, 1), block)], -1)[..., :count]
    return out if lengths is None else cut(out, frame_count(lengths, **framing))


def _by_item(
    x: Tensor,
    lengths: Tensor | None,
    widened: Callable[[Tensor, Tensor | None], Tensor],
    compute: Callable[[Tensor, int], Tensor],
    frames_of: Callable[[int], int],
    block: int,
    n_features: int,
) -> Tensor:
    """Returns what ``compute`` makes of each item's own valid part, ``block`` frames at a time."""
    channels = math.prod(x.shape[1:-1])
    sizes = [x.shape[-1]] * x.shape[0] * channels if lengths is None else lengths.repeat_interleave(channels).tolist()
    waves, ends = x.reshape(len(sizes), x.shape[-1]), [frames_of(n) for n in sizes]
    signals = [widened(waves[row, :n], None) for row, n in enumerate(sizes)]
    jobs = [(row, first) for row, end in enumerate(ends) for first in range(0, end, block)]
    out = x.new_zeros(*x.shape[:-1], n_features, frames_of(x.shape[-1]))
    outs = out.view(len(sizes), *out.shape[-2:])

    def job(number: int) -> None:
        row, first = jobs[number]
        own = outs[row, :, first : min(first + block, ends[row])]
        own.copy_(compute(signals[row], first)[:, : own.shape[1]])

    threads.each(job, len(jobs), len(jobs) * threads.SHARE)
    return out


def _segment(taps: int, n_fft: int, hop_length: int) -> int:
    """Returns samples of one FFT: a power of two, of which filters and frames overlap in a quarter at most."""
    return 1 << (4 * (taps + max(n_fft, hop_length)) - 1).bit_length()


def _weights(window: Tensor, hop_length: int) -> Tensor:
    """Returns a window of sum 1 in pieces of a hop, ``[hop_length, pieces]``."""
    window = window.clamp(min=0)
    padded = torch.nn.functional.pad(window / window.sum(), (0, -window.shape[0] % hop_length))
    return padded.reshape(-1, hop_length).t()


def _means(values: Tensor, weights: Tensor) -> Tensor:
    """Returns weighted sums every hop, ``[..., frames]`` of ``[..., samples]``: each hop meets each piece once."""
    hop_length, pieces = weights.shape
    hops = values.shape[-1] // hop_length
    met = values[..., : hops * hop_length].reshape(*values.shape[:-1], hops, hop_length) @ weights
    along: Tensor = met.flatten(-2).unfold(-1, pieces * pieces, pieces)
    return along[..., :: pieces + 1].sum(-1)
