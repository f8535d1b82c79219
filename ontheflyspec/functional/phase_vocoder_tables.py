"""What a phase vocoder needs beside the signals: sizes, places of frames, windows, and chirps to read spectra off."""

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
"""Points that spectra are read off at, at least: to the nearest one is within 2.9 cents."""
HOPS = 3
"""Hops in a frame: the fewest at which squared Hann windows add up to a constant."""


def hop_for(rate: float) -> int:
    """Returns samples between frames of the result, even: `HOP_S` or a little more."""
    return fast_size(max(HOP_S * rate, 4), 2)


def transform_size(hop: int, semitones: float) -> int:
    """Returns points of the Fourier transform whose frames can be read off up to so many semitones higher."""
    return fast_size(max(HOPS * hop, LEAST) * 2 ** (max(semitones, 0) / 12), 2)


def points_for(semitones: Tensor, n_fft: int) -> Tensor:
    """Returns points of the inverse transforms that shift by so many semitones, int64: the nearest whole number.

    Where twice `LEAST` are left it is the nearest even one, which transforms twice as fast.
    """
    points = n_fft * torch.exp2(semitones / -12)
    step = torch.where(points < 2 * LEAST, 1, 2)
    return (torch.round(points / step) * step).long()


@functools.lru_cache(512)
def window(n_fft: int, points: int, width: int, early: float = 0.0) -> Tensor:
    """Returns the window, float64 ``[n_fft]``, that is Hann of ``width`` samples once it is read off at ``points``.

    Its middle lies ``early`` samples before that of the frame.
    """
    steps = torch.arange(n_fft, dtype=torch.float64, device="cpu") - n_fft // 2 + early
    place = steps * (points / n_fft / width)
    return torch.where(place.abs() < 0.5, 0.5 + 0.5 * torch.cos(2 * math.pi * place), 0)


@functools.lru_cache(512)
def remainder(n_fft: int, points: int, hop: int) -> Tensor:
    """Returns the turns of bins over what a hop, read off, has beyond whole samples: complex128 ``[F]``."""
    back = hop * n_fft / points
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64, device="cpu")
    angle = bins * (2 * math.pi * (back - round(back)) / n_fft)
    return torch.complex(torch.cos(angle), torch.sin(angle))


@functools.lru_cache(128)
def chirps(n_fft: int, points: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns what reads spectra ``[F]`` off at ``points``, ``width`` samples around 0, by a product with a chirp.

    Factors of the bins, ``[F]``; the chirp's spectrum, ``[L]``; factors of the samples, ``[width]``: all complex128.
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


class Reading(NamedTuple):
    """Pace and pitch at which the frames of a batch are read.

    Args:
        tempo: samples in for one out, float64 ``[B]`` on the host.
        points: of the inverse transforms, int64 ``[B]`` on the host: frequencies rise by ``n_fft / points``; None
            where they stay.
        hop: samples between frames of the result.
        n_fft: points of the transforms.
    """

    tempo: Tensor
    points: Tensor | None
    hop: int
    n_fft: int

    def of(self, rows: list[int]) -> Reading:
        """Returns that of some items."""
        return self._replace(tempo=self.tempo[rows], points=None if self.points is None else self.points[rows])


class Tables(NamedTuple):
    """What frames of a batch are made and read with.

    Args:
        n_frames: of the result.
        starts: samples where the frames here and those a hop before begin, int64 ``[2, B, C, count]``, in signals
            ``[T]`` each with silence around it.
        shapes: windows for both, ``[2, B or 1, 1, 1, n_fft]``.
        rest: from `remainder`, ``[B, F]``; None for frames that are read off as they are.
        signs: that move the middle of a frame to its start, ``[F]``.
        fade: window of what was read off, ``[width]``.
    """

    n_frames: int
    starts: Tensor
    shapes: Tensor
    rest: Tensor | None
    signs: Tensor
    fade: Tensor


def prepared(wave: Tensor, size: int, reading: Reading, chunk: int) -> tuple[Tensor, Tables]:
    """Returns signals ``[B, C, T]`` with silence around them, and the tables for them.

    Args:
        wave: ``[B, C, T]``, 0 past each item's end.
        size: samples of the result.
        reading: pace and pitch.
        chunk: what the count of frames is a multiple of.
    """
    tempo, points, hop, n_fft = reading
    count = -(-(-(-size // hop) + HOPS) // chunk) * chunk
    steps = torch.arange(-1, count - 1, dtype=torch.float64, device="cpu") * hop
    centres = torch.round(steps * tempo.unsqueeze(-1)).long()
    each = [n_fft] if points is None else points.tolist()
    back = torch.tensor([[round(hop * n_fft / m)] for m in each], device="cpu")
    centres = torch.cat([(-back).expand_as(centres[:, :1]), centres[:, 1:]], 1)  # the frame at 0 shall not turn
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
