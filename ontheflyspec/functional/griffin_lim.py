"""Phases for magnitudes that came without, by going back and forth between spectra and waves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ontheflyspec import rng
from ontheflyspec.functional.signal_frames import cut
from ontheflyspec.op import Op

LEVELS = 4096
"""Phases that a random one is drawn from."""
KEY = 0x6772696666696E


def circle() -> Tensor:
    """Returns cosines and sines of evenly spaced phases, float64 ``[LEVELS, 2]``."""
    angles = torch.arange(LEVELS, dtype=torch.float64) * (2 * math.pi / LEVELS)
    return torch.stack([torch.cos(angles), torch.sin(angles)], -1)


def random_units(bins: int, frames: int, points: Tensor) -> Tensor:
    """Returns real and imaginary parts of numbers of magnitude 1, ``[bins, frames, 2]``, on the device of ``points``.

    Each depends on its bin and frame alone: the same in every call, batch and place, and on every device.

    Args:
        bins: of the spectrum.
        frames: of the spectrum.
        points: from `circle`.
    """
    words = rng.words(torch.arange(frames, device=points.device), KEY, bins)
    return points[(words >> 20).t()]


class RoundTrip(NamedTuple):
    """The ways between spectra and waves.

    Args:
        waves: gives waves for complex spectra, frames and samples of each, None if all are full, and samples in all.
        spectra: gives complex spectra for waves, which may be overwritten, and samples of each.
        samples: gives samples for frames.
    """

    waves: Callable[[Tensor, Tensor | None, Tensor | None, int], Tensor]
    spectra: Callable[[Tensor, Tensor | None], Tensor]
    samples: Callable[[Any], Any]


@Op
def griffin_lim(
    magnitude: Tensor, lengths: Tensor | None, *, first: Tensor, trip: RoundTrip, n_iter: int, momentum: float
) -> Tensor:
    """Returns the wave of a magnitude with the phases found; gradients take the phases as constants.

    Args:
        magnitude: ``[B, ..., F, N]``, not negative.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        first: phases to begin with, ``[F, N, 2]``, as from `random_units`.
        trip: from spectra to waves and back.
        n_iter: how often to go there and back.
        momentum: share of the last step that is taken once more.

    Shape: ``[B, ..., trip.samples(N)]``, 0 past each item's samples.
    """
    sizes, size = None, trip.samples(magnitude.shape[-1])
    if lengths is not None:
        lengths = lengths.to(magnitude.device, non_blocking=True)  # once, not in every round
        magnitude, sizes = cut(magnitude, lengths), trip.samples(lengths)
    step, share, before = first, torch.ones_like(magnitude[..., :1, :1]), None
    with torch.no_grad():
        for _ in range(n_iter if size else 0):
            wave = trip.waves(_scaled(step, magnitude * share), lengths, sizes, size)
            now = torch.view_as_real(trip.spectra(wave, sizes))
            step = now if before is None else before.mul_(-momentum / (1 + momentum)).add_(now)
            share, before = _inverse_size(step), now
    return trip.waves(_scaled(step, magnitude * share), lengths, sizes, size)


def _scaled(parts: Tensor, factor: Tensor) -> Tensor:
    return torch.view_as_complex(parts * factor.unsqueeze(-1))


def _inverse_size(parts: Tensor) -> Tensor:
    """Returns 1 over the magnitudes of complex values, 0 where they are 0."""
    squares = parts * parts
    size = squares[..., 0].add_(squares[..., 1]).sqrt_()
    return size.masked_fill_(size == 0, math.inf).reciprocal_()
