"""Non-uniform FFT: spectra of frames at any frequencies, interpolated from the bins of an FFT twice as long.

Between these bins the spectrum of a frame is smooth, so that 16 of them give it anywhere within a millionth. Their
weights come from least squares: seen from the frame's centre, ``sum a_j e^{-i j t}`` is to be ``e^{-i d t}`` for the
frame's own samples, which fill half of the FFT's period.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ontheflyspec.functional import filterbanks
from ontheflyspec.functional.filterbanks import FilterBlock, Run
from ontheflyspec.precision import matmul

NEIGHBOURS = 16
"""Bins that one frequency is interpolated from."""
OVERHEAD = 700
"""Cost of one more product, in outputs times bins."""
SCALES = ("linear", "log")


def frequencies(scale: str, n_bins: int, fmin: float, fmax: float) -> Tensor:
    """Returns ``n_bins`` frequencies in Hz from ``fmin`` up to but without ``fmax``, float64 ``[n_bins]``."""
    steps = torch.arange(n_bins, dtype=torch.float64) / n_bins
    if scale == "log":
        return fmin * torch.exp(steps * math.log(fmax / fmin))
    return fmin + steps * (fmax - fmin)


def kernels(window: Tensor, turns: Tensor) -> Tensor:
    """Returns windowed cosines and negative sines, float64 ``[2 * F, n_fft]``, for cycles a sample ``[F]``."""
    angles = 2 * math.pi * (turns.unsqueeze(-1) * torch.arange(window.shape[0], dtype=torch.float64)).remainder(1)
    return torch.cat([torch.cos(angles), -torch.sin(angles)]) * window


def bands(turns: Tensor, n_fft: int) -> list[FilterBlock]:
    """Returns the cheapest split of frequencies into runs of neighbours, each with its range of ``n_fft + 1`` bins."""
    bins, _ = _folded(_neighbours(turns, n_fft)[1], n_fft)
    lows, highs = bins.amin(1).tolist(), (bins.amax(1) + 1).tolist()
    return filterbanks.cheapest(lows, highs, OVERHEAD, most=8 * OVERHEAD)


def weights(turns: Tensor, n_fft: int, parts: list[FilterBlock]) -> Tensor:
    """Returns the interpolation weights of all runs in a row, float64, for `runs`.

    Args:
        turns: frequencies in cycles a sample, up to 1/2, float64 ``[F]``.
        n_fft: samples of a frame; the FFT has twice as many.
        parts: the runs, from `bands`.
    """
    fractions, places, offsets = _neighbours(turns, n_fft)
    # From the frame's centre to its first sample: the phase of each frequency against that of each bin.
    centre = (n_fft - 1) / 2
    angles = 2 * math.pi * centre * (turns.unsqueeze(-1) - places.double() / (2 * n_fft))
    values = _interpolators(fractions, offsets, n_fft)
    cosine, sine = values * torch.cos(angles), -values * torch.sin(angles)
    bins, turned = _folded(places, n_fft)
    sign = 1.0 - 2.0 * turned
    # Real and imaginary part of (cosine + i sine) (real + i sign imaginary), row by row over (real, imaginary).
    table = torch.stack([cosine, -sign * sine, sine, sign * cosine], -1)
    sizes = [4 * (last - first) * (high - low) for first, last, low, high in parts]
    made = turns.new_zeros(sum(sizes))
    for block, (first, last, low, _) in zip(torch.split(made, sizes), parts, strict=True):
        count, width = last - first, 2 * (last - first)
        at = 2 * width * (bins[first:last] - low) + 2 * torch.arange(count).unsqueeze(-1)
        places = torch.stack([at, at + width, at + 1, at + width + 1], -1)
        block.index_add_(0, places.flatten(), table[first:last].flatten())
    return made


def runs(row: Tensor, parts: list[FilterBlock]) -> list[Run]:
    """Returns each run's matrix ``[2 * bins, 2 * outputs]``, real and imaginary parts in turn, and first input."""
    sizes = [4 * (last - first) * (high - low) for first, last, low, high in parts]
    blocks = zip(torch.split(row, sizes), parts, strict=True)
    return [(block.view(-1, 2 * (last - first)), 2 * low) for block, (first, last, low, _) in blocks]


def interpolate(spectra: Tensor, pieces: list[Run]) -> tuple[Tensor, Tensor]:
    """Interpolates spectra: real and imaginary parts, ``[..., F, n]``.

    Args:
        spectra: of frames padded to twice their size, ``[..., n, n_fft + 1]``; phases count from a frame's first
            sample, as those of the result.
        pieces: of `runs`.
    """
    flat = torch.view_as_real(spectra).flatten(-2)
    made = torch.cat([matmul(flat[..., low : low + block.shape[0]], block) for block, low in pieces], -1)
    real, imaginary = made.reshape(*made.shape[:-1], made.shape[-1] // 2, 2).transpose(-2, -3).unbind(-1)
    return real, imaginary


def _neighbours(turns: Tensor, n_fft: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the distance of each frequency from the bin below, ``[F]``, the bins around it, and their offsets."""
    count = min(NEIGHBOURS, n_fft)
    offsets = torch.arange(count) - (count - 1) // 2
    places = turns * (2 * n_fft)
    below = places.floor()
    return places - below, below.long().unsqueeze(-1) + offsets, offsets


def _folded(places: Tensor, n_fft: int) -> tuple[Tensor, Tensor]:
    """Returns bins ``0 .. n_fft`` for any bins, and where they are conjugates of the bins asked for."""
    wrapped = places.remainder(2 * n_fft)
    turned = wrapped > n_fft
    return torch.where(turned, 2 * n_fft - wrapped, wrapped), turned


def _interpolators(fractions: Tensor, offsets: Tensor, n_fft: int) -> Tensor:
    """Returns the least-squares weights of the bins around frequencies, seen from the frame's centre: ``[F, K]``."""

    def product(apart: Tensor) -> Tensor:
        """Returns the inner product over the frame of two exponentials so many bins apart (Dirichlet kernel)."""
        zero = apart == 0
        safe = torch.where(zero, 1.0, apart)
        ratio = torch.sin(math.pi * safe / 2) / (n_fft * torch.sin(math.pi * safe / (2 * n_fft)))
        return torch.where(zero, 1.0, ratio)

    bins = offsets.double()
    # The ridge keeps the weights small in directions that the frame does not see, where rounding decides.
    normal = product(bins.unsqueeze(-1) - bins) + 1e-13 * torch.eye(bins.shape[0], dtype=torch.float64)
    solved: Tensor = torch.linalg.solve(normal, product(fractions - bins.unsqueeze(-1)))
    return solved.t()
