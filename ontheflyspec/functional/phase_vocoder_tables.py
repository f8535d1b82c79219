"""Tables of the phase vocoder: transform sizes, places of frames, windows, and chirps for the chirp z-transform."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec.functional.fft_sizes import fast_size

HOP_S = 0.0125
"""Seconds between frames of the result."""
LEAST = 300
"""Least points of an inverse transform: rounding to whole points is within 2.9 cents."""
HOPS = 3
"""Hops in a frame: the fewest for which squared Hann windows add up to a constant."""


def hop_for(rate: float) -> int:
    """Returns the hop length of the result in samples, even: `HOP_S` or a little more."""
    return fast_size(max(HOP_S * rate, 4), 2)


def transform_size(hop: int, semitones: float) -> int:
    """Returns points of the Fourier transform for pitch shifts of up to so many semitones."""
    return fast_size(max(HOPS * hop, LEAST) * 2 ** (max(semitones, 0) / 12), 2)


def points_for(semitones: Tensor, n_fft: int) -> Tensor:
    """Returns points of the inverse transforms that shift the pitch by so many semitones, int64, rounded.

    From twice `LEAST` on they are even, which transforms twice as fast.
    """
    points = n_fft * torch.exp2(semitones / -12)
    step = torch.where(points < 2 * LEAST, 1, 2)
    return (torch.round(points / step) * step).long()


@functools.lru_cache(512)
def window(n_fft: int, points: int, width: int, early: float = 0.0) -> Tensor:
    """Returns the analysis window, float64 ``[n_fft]``, that becomes a Hann window of ``width`` samples at ``points``.

    Its middle lies ``early`` samples before the frame's middle.
    """
    steps = torch.arange(n_fft, dtype=torch.float64, device="cpu") - n_fft // 2 + early
    place = steps * (points / n_fft / width)
    return torch.where(place.abs() < 0.5, 0.5 + 0.5 * torch.cos(2 * math.pi * place), 0)


@functools.lru_cache(512)
def remainder(n_fft: int, points: int, hop: int) -> Tensor:
    """Returns the phase factors of bins for the fraction of a sample by which a hop was rounded, complex128 ``[F]``."""
    back = hop * n_fft / points
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64, device="cpu")
    angle = bins * (2 * math.pi * (back - round(back)) / n_fft)
    return torch.complex(torch.cos(angle), torch.sin(angle))


@functools.lru_cache(128)
def chirps(n_fft: int, points: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the factors of a chirp z-transform (Bluestein): an inverse transform of ``points`` points at any size.

    It gives ``width`` samples around 0 of spectra ``[F]``. Returned are the factors of the bins, ``[F]``, the spectrum
    of the chirp, ``[L]``, and the factors of the samples, ``[width]``, all complex128.
    """
    bins = torch.arange(n_fft // 2 + 1, device="cpu")
    place = torch.arange(fast_size(len(bins) + width - 1), device="cpu")
    place = torch.where(place < width, place, place - len(place)) - width // 2

    def chirp(k: Tensor) -> Tensor:
        angle = (k * k % (2 * points)).double() * (math.pi / points)
        return torch.complex(torch.cos(angle), torch.sin(angle))

    weight = torch.where(2 * bins < points, 2.0, torch.where(2 * bins == points, 1.0, 0.0)).double()
    weight[0] = 1
    return chirp(bins) * weight, torch.fft.fft(chirp(place).conj()), chirp(place[:width])


class StretchSettings(NamedTuple):
    """Tempo and pitch of each item of a batch, and the sizes of its frames.

    Args:
        tempo: samples of the signal for one of the result, float64 ``[B]`` on the host.
        points: of the inverse transforms, int64 ``[B]`` on the host: frequencies rise by ``n_fft / points``; None
            if the pitch of all items stays.
        hop: samples between frames of the result.
        n_fft: points of the transforms.
    """

    tempo: Tensor
    points: Tensor | None
    hop: int
    n_fft: int

    def of(self, rows: list[int]) -> StretchSettings:
        """Returns the settings of some items."""
        return self._replace(tempo=self.tempo[rows], points=None if self.points is None else self.points[rows])


class Tables(NamedTuple):
    """Places and windows of the frames of a batch.

    Args:
        n_frames: of the result.
        starts: first samples of the frames, and of the frames a hop earlier, int64 ``[2, B, 1, count]``, in signals
            ``[T]`` with silence around them.
        shapes: analysis windows of both, ``[2, B or 1, 1, 1, n_fft]``.
        rest: of `remainder`, ``[B, F]``; None where the pitch stays.
        signs: factors of the bins that rotate the middle of a frame to its start, ``[F]``.
        fade: synthesis window, ``[width]``.
    """

    n_frames: int
    starts: Tensor
    shapes: Tensor
    rest: Tensor | None
    signs: Tensor
    fade: Tensor


def prepared(wave: Tensor, size: int, settings: StretchSettings, chunk: int) -> tuple[Tensor, Tables]:
    """Returns signals ``[B, C, T]`` with silence around them, and the tables for them.

    Args:
        wave: ``[B, C, T]``, 0 past each item's end.
        size: samples of the result.
        settings: pace and pitch.
        chunk: the number of frames is a multiple of it.
    """
    tempo, points, hop, n_fft = settings
    count = -(-(-(-size // hop) + HOPS) // chunk) * chunk
    steps = torch.arange(-1, count - 1, dtype=torch.float64, device="cpu") * hop
    centres = torch.round(steps * tempo.unsqueeze(-1)).long()
    each = [n_fft] if points is None else points.tolist()
    back = torch.tensor([[round(hop * n_fft / m)] for m in each], device="cpu")
    centres = torch.cat([(-back).expand_as(centres[:, :1]), centres[:, 1:]], 1)  # no phase is added to the frame at 0
    left = n_fft // 2 + int((back - centres[:, :1]).max())
    signal = pad(wave, (left, n_fft))
    starts = (torch.stack([centres, centres - back]) + (left - n_fft // 2)).clamp(max=signal.shape[-1] - n_fft)
    width, kind, there = HOPS * hop, wave.dtype, wave.device
    early = [hop * n_fft / m - round(hop * n_fft / m) for m in each]
    windows = [
        [window(n_fft, m, width, by) for m, by in zip(each, late, strict=True)] for late in ([0.0] * len(each), early)
    ]
    shapes = torch.stack([torch.stack(one) for one in windows])[:, :, None, None].to(there, kind, non_blocking=True)
    rest = None if points is None else torch.stack([remainder(n_fft, m, hop) for m in each])
    rest = None if rest is None else rest.to(there, kind.to_complex(), non_blocking=True)
    signs = 1 - 2 * (torch.arange(n_fft // 2 + 1, device=there) % 2).to(kind)
    fade = (window(width, width, width) / (HOPS * 3 / 8 * n_fft)).to(there, kind, non_blocking=True)
    return signal, Tables(count, starts.to(there, non_blocking=True).unsqueeze(2), shapes, rest, signs, fade)
