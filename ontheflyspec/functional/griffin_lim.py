"""Griffin-Lim phase reconstruction: a wave from magnitudes, by alternating between spectra and waves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ontheflyspec import rng
from ontheflyspec.functional.signal_frames import zero_padding
from ontheflyspec.kept import count_up
from ontheflyspec.op import Op
from ontheflyspec.torch_internals import without_derivatives

LEVELS = 4096
"""Number of evenly spaced phases that random phases are drawn from."""
KEY = 0x6772696666696E


def circle() -> Tensor:
    """Returns cosines and sines of evenly spaced phases, float64 ``[LEVELS, 2]``."""
    angles = torch.arange(LEVELS, dtype=torch.float64) * (2 * math.pi / LEVELS)
    return torch.stack([torch.cos(angles), torch.sin(angles)], -1)


def random_units(bins: int, frames: int, points: Tensor) -> Tensor:
    """Returns random phases as points on the unit circle, ``[bins, frames, 2]``, on the device of ``points``.

    Each depends on its bin and frame alone: the same in every call, batch and position, and on every device.

    Args:
        bins: of the spectrum.
        frames: of the spectrum.
        points: from `circle`.
    """
    words = rng.words(count_up(frames, points.device), KEY, bins)
    return points[(words >> 20).t()]


class RoundTrip(NamedTuple):
    """A spectral transform and its inverse.

    Args:
        waves: the inverse: takes complex spectra, frames and samples of each item (None if all are full), and samples
            of the result.
        spectra: the transform: takes waves, which may be overwritten, and samples of each item.
    """

    waves: Callable[[Tensor, Tensor | None, Tensor | None, int], Tensor]
    spectra: Callable[[Tensor, Tensor | None], Tensor]


@Op
def griffin_lim(
    magnitude: Tensor,
    lengths: Tensor | None,
    *,
    sizes: Tensor | None = None,
    size: int,
    first: Tensor,
    trip: RoundTrip,
    n_iter: int,
    momentum: float,
) -> Tensor:
    """Returns waves for magnitudes by the (fast) Griffin-Lim algorithm; gradients take its phases as constants.

    Args:
        magnitude: ``[B, ..., F, N]``, not negative.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        sizes: samples of each item, likewise; None for ``size``.
        size: samples of the result.
        first: initial phases, ``[F, N, 2]``, as from `random_units`.
        trip: from spectra to waves and back.
        n_iter: iterations.
        momentum: of the fast algorithm, 0 for the original one.

    Shape: ``[B, ..., size]``, 0 past each item's samples.
    """
    if lengths is not None:
        lengths = lengths.to(magnitude.device, non_blocking=True)  # once, not in every round
        sizes = None if sizes is None else sizes.to(magnitude.device, non_blocking=True)
        magnitude = zero_padding(magnitude, lengths)
    fixed, step, share, before = without_derivatives(magnitude), first, torch.ones_like(magnitude[..., :1, :1]), None
    share = without_derivatives(share)
    with torch.no_grad():
        for _ in range(n_iter if size else 0):
            wave = trip.waves(_scaled(step, fixed * share), lengths, sizes, size)
            now = torch.view_as_real(trip.spectra(wave, sizes))
            step = now if before is None else before.mul_(-momentum / (1 + momentum)).add_(now)
            share, before = _inverse_size(step), now
    return trip.waves(_scaled(step, magnitude * share), lengths, sizes, size)


def _scaled(parts: Tensor, factor: Tensor) -> Tensor:
    """Returns complex numbers of real and imaginary parts times a factor."""
    return torch.view_as_complex(parts * factor.unsqueeze(-1))


def _inverse_size(parts: Tensor) -> Tensor:
    """Returns 1 over the magnitudes of complex values, 0 where they are 0."""
    squares = parts * parts
    size = squares[..., 0].add_(squares[..., 1]).sqrt_()
    return size.masked_fill_(size == 0, math.inf).reciprocal_()
