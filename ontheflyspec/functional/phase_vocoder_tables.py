"""Tables of the phase vocoder: transform sizes, places of frames, windows, and chirps for the chirp z-transform."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec.functional.fft_sizes import fast_size
from ontheflyspec.kept import count_up, kept
from ontheflyspec.precision import complex_type, wide

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


def _window(n_fft: int, points: int, width: int, early: float) -> Tensor:
    """Returns the analysis window, float64 ``[n_fft]``, that becomes a Hann window of ``width`` samples at ``points``.

    Its middle lies ``early`` samples before the frame's middle.
    """
    steps = torch.arange(n_fft, dtype=torch.float64, device="cpu") - n_fft // 2 + early
    place = steps * (points / n_fft / width)
    return torch.where(place.abs() < 0.5, 0.5 + 0.5 * torch.cos(2 * math.pi * place), 0)


@kept(1024)
def window(
    device: torch.device, dtype: torch.dtype, n_fft: int, points: int, width: int, early: float
) -> tuple[Tensor, ...]:
    """Returns `_window` on a device."""
    return (_window(n_fft, points, width, early).to(dtype).to(device, non_blocking=True),)


@kept(16)
def fade(device: torch.device, dtype: torch.dtype, n_fft: int, width: int) -> tuple[Tensor, ...]:
    """Returns the synthesis window, ``[width]``: of overlapping frames it makes their sum."""
    whole = _window(width, width, width, 0.0) / (HOPS * 3 / 8 * n_fft)
    return (whole.to(dtype).to(device, non_blocking=True),)


@kept(16)
def signs(device: torch.device, dtype: torch.dtype, n_fft: int) -> tuple[Tensor, ...]:
    """Returns the factors of the bins, 1 and -1, that rotate the middle of a frame to its start, ``[F]``."""
    return (1 - 2 * (torch.arange(n_fft // 2 + 1, device=device) % 2).to(dtype),)


@kept(512)
def remainder(device: torch.device, dtype: torch.dtype, n_fft: int, points: int, hop: int) -> tuple[Tensor, ...]:
    """Returns the phase factors of bins for the fraction of a sample by which a hop was rounded, complex ``[F]``."""
    back = hop * n_fft / points
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64, device="cpu")
    angle = bins * (2 * math.pi * (back - round(back)) / n_fft)
    return (torch.complex(torch.cos(angle), torch.sin(angle)).to(dtype).to(device, non_blocking=True),)


@kept(256)
def chirps(device: torch.device, n_fft: int, points: int, width: int) -> tuple[Tensor, ...]:
    """Returns the factors of a chirp z-transform (Bluestein): an inverse transform of ``points`` points at any size.

    It gives ``width`` samples around the middle of frames whose spectra are ``[F]``. Returned are the factors of the
    bins, ``[F]``, the spectrum of the chirp, ``[L]``, and the factors of the samples, ``[width]``, in the most precise
    complex type of the device.
    """
    bins = torch.arange(n_fft // 2 + 1, device="cpu")
    place = torch.arange(fast_size(len(bins) + width - 1), device="cpu")
    place = torch.where(place < width, place, place - len(place)) - width // 2

    def chirp(k: Tensor) -> Tensor:
        angle = (k * k % (2 * points)).double() * (math.pi / points)
        return torch.complex(torch.cos(angle), torch.sin(angle))

    weight = torch.where(2 * bins < points, 2.0, torch.where(2 * bins == points, 1.0, 0.0)).double()
    weight[0] = 1
    weight[1::2] *= -1  # the middle of a frame becomes its start
    made = chirp(bins) * weight, torch.fft.fft(chirp(place).conj()), chirp(place[:width])
    return tuple(one.to(complex_type(wide(device))).to(device, non_blocking=True) for one in made)


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

    @property
    def pace(self) -> Tensor:
        """Samples of the signal for one of the result, for a hop, rounded, and less than 0: float64 ``[B, 3]``."""
        each = [self.n_fft] * len(self.tempo) if self.points is None else self.points.tolist()
        back = torch.tensor([round(self.hop * self.n_fft / m) for m in each], dtype=torch.float64, device="cpu")
        return torch.stack([self.tempo, back, -back], 1)

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


def prepared(wave: Tensor, size: int, settings: StretchSettings, pace: Tensor, chunk: int) -> tuple[Tensor, Tables]:
    """Returns signals ``[B, C, T]`` with silence around them, and the tables for them.

    Args:
        wave: ``[B, C, T]``, 0 past each item's end.
        size: samples of the result.
        settings: pace and pitch.
        pace: of the settings, on the device of the wave.
        chunk: the number of frames is a multiple of it.
    """
    (_, points, hop, n_fft), kind, there = settings, wave.dtype, wave.device
    count = -(-(-(-size // hop) + HOPS) // chunk) * chunk
    back, ahead = pace[:, 1:].long().unsqueeze(-1).unbind(1)
    centres = torch.round((count_up(count - 1, there) * hop) * pace[:, :1]).long()
    centres = torch.cat([ahead, centres], 1)  # no phase is added to the frame at 0
    each = [n_fft] if points is None else points.tolist()
    left = n_fft // 2 + 2 * max(round(hop * n_fft / m) for m in each)
    signal, width = pad(wave, (left, n_fft)), HOPS * hop
    starts = (torch.stack([centres, centres - back]) + (left - n_fft // 2)).clamp(max=signal.shape[-1] - n_fft)
    early = [hop * n_fft / m - round(hop * n_fft / m) for m in each]
    made = [
        window(there, kind, n_fft, m, width, by)[0]
        for late in ([0.0] * len(each), early)
        for m, by in zip(each, late, strict=True)
    ]
    shapes = torch.stack(made).reshape(2, len(each), 1, 1, n_fft)
    turn = complex_type(kind)
    rest = None if points is None else torch.stack([remainder(there, turn, n_fft, m, hop)[0] for m in each])
    tables = shapes, rest, signs(there, kind, n_fft)[0], fade(there, kind, n_fft, width)[0]
    return signal, Tables(count, starts.unsqueeze(2), *tables)
