"""Chroma (pitch classes): filter bank over FFT bins, folding of constant-Q bins, CENS, and tonnetz."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from ontheflyspec import windows
from ontheflyspec.functional.signal_frames import zero_padding
from ontheflyspec.functional.stft import safe_sqrt, without_faint_slopes
from ontheflyspec.kept import where
from ontheflyspec.op import Op

STEPS = (0.4, 0.2, 0.1, 0.05)
"""Quantisation steps of CENS: shares of a frame's energy, each of which adds a quarter."""


def chroma_filterbank(
    sample_rate: float, n_fft: int, n_chroma: int, tuning: float, ctroct: float, octwidth: float | None, base_c: bool
) -> Tensor:
    """Returns chroma filters, Gaussians around each pitch class over FFT bins, float64 ``[n_chroma, n_fft // 2 + 1]``.

    As ``librosa.filters.chroma``, with the weights of each bin of unit length.

    Args:
        sample_rate: Hz.
        n_fft: points of the transform.
        n_chroma: pitch classes of an octave.
        tuning: deviation of A4 from 440 Hz, in pitch classes.
        ctroct: octave above 27.5 Hz with the largest weight.
        octwidth: octaves of the Gaussian weighting around it (standard deviation), None for equal weights.
        base_c: whether the first class is C, else A.
    """
    hertz = torch.arange(1, n_fft, dtype=torch.float64) * (sample_rate / n_fft)
    above = n_chroma * torch.log2(hertz / (27.5 * 2 ** (tuning / n_chroma)))
    places = torch.cat([above[:1] - 1.5 * n_chroma, above])
    widths = torch.cat([places.diff().clamp(min=1.0), torch.ones(1, dtype=torch.float64)])
    half = round(n_chroma / 2)
    classes = torch.arange(n_chroma, dtype=torch.float64).unsqueeze(-1)
    if base_c:  # a quarter of an octave above A, between two classes counted from A where 4 does not divide them
        classes = classes + n_chroma / 4
    apart = (places - classes + half + 10 * n_chroma).remainder(n_chroma) - half
    weights = torch.exp(-0.5 * (2 * apart / widths).square())
    weights = weights / weights.square().sum(0).sqrt()
    if octwidth is not None:
        weights = weights * torch.exp(-0.5 * ((places / n_chroma - ctroct) / octwidth).square())
    return weights[:, : n_fft // 2 + 1]


@Op
def unit(x: Tensor, _: Tensor | None, *, norm: float | None) -> Tensor:
    """Returns frames ``[..., F, N]`` of unit norm over F; silent frames stay as they are.

    Args:
        x: 0 past each length.
        _: lengths, not used.
        norm: ``inf`` for the largest magnitude, 1 for the sum, 2 for the length, None for no change.
    """
    if norm is None:
        return x
    peak = x.abs().amax(-2, keepdim=True)
    x = without_faint_slopes(x / where(peak < torch.finfo(x.dtype).tiny, 1, peak), peak)
    if norm == math.inf:
        return x
    # Added up row by row, as the rounding of a library's sum depends on the shape.
    size = functools.reduce(torch.add, (x.abs() if norm == 1 else x.square()).unbind(-2)).unsqueeze(-2)
    size = size if norm == 1 else safe_sqrt(size)
    return x / where(size > 0, size, 1)


def fold_matrix(n_bins: int, bins_per_octave: int, n_chroma: int, fmin: float, base_c: bool) -> Tensor:
    """Returns the matrix of 0 and 1 that folds constant-Q bins into pitch classes, float64 ``[n_chroma, n_bins]``.

    As ``librosa.filters.cq_to_chroma``.

    Args:
        n_bins: bins of log frequency.
        bins_per_octave: bins of an octave, a multiple of ``n_chroma``.
        n_chroma: pitch classes of an octave.
        fmin: Hz of the first bin.
        base_c: whether the first class is C, else A.
    """
    merged = bins_per_octave // n_chroma
    first = (69 + 12 * math.log2(fmin / 440)) % 12 - (0 if base_c else 9)
    nearest = (torch.arange(n_bins) + merged // 2) // merged + round(first * n_chroma / 12)
    return (nearest % n_chroma == torch.arange(n_chroma).unsqueeze(-1)).double()


def cens_weights(win_length: int) -> Tensor:
    """Returns smoothing weights of CENS, float64 ``[win_length]``: a symmetric Hann window without its zeros, sum 1."""
    weights = windows.window("hann", win_length + 2, win_length + 2, symmetric=True)[1:-1]
    return weights / weights.sum()


def energy_statistics(x: Tensor, lengths: Tensor | None, weights: Tensor | None, norm: float | None) -> Tensor:
    """Returns CENS (chroma energy normalised statistics): shares of each frame, quantised, smoothed over time.

    Beyond each item's own ends there is silence. Gradients are 0, as the quantisation steps have no slope.

    Args:
        x: ``[B, ..., F, N]``, 0 past each length.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        weights: of `cens_weights`, None for no smoothing.
        norm: as in `unit`.
    """
    shares = unit(x, lengths, norm=1)
    steps = 0 * shares
    for step in STEPS:
        steps = steps.add(shares > step, alpha=0.25)
    if weights is None:
        return unit(steps, lengths, norm=norm)
    width, size = weights.shape[0], x.shape[-1]
    wide = torch.nn.functional.pad(steps, ((width - 1) // 2, width // 2))
    smooth = torch.zeros_like(steps)
    for place, weight in enumerate(weights.unbind()):
        smooth = smooth + weight * wide[..., place : place + size]
    return unit(zero_padding(smooth, lengths), lengths, norm=norm)


def tonnetz_matrix(n_chroma: int) -> Tensor:
    """Returns the matrix from chroma to tonnetz (fifths, minor and major thirds), float64 ``[6, n_chroma]``."""
    classes = torch.arange(n_chroma, dtype=torch.float64) * (12 / n_chroma)
    rows = []
    for turn, radius in ((7 / 6, 1.0), (3 / 2, 1.0), (2 / 3, 0.5)):
        rows += [radius * torch.cos(math.pi * (turn * classes - 0.5)), radius * torch.cos(math.pi * turn * classes)]
    return torch.stack(rows)
