"""Framing of short-time transforms: number, place and window of the frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ontheflyspec import windows

Center = bool | Literal["same"]
"""Whether frame t has its centre at ``t * hop_length``, begins there, or has its centre half a hop later."""


def frame_count(lengths: Any, n_fft: int, hop_length: int, center: Center, drop_last: bool = False) -> Any:
    """Returns the number of frames for numbers of samples, an int for an int and a tensor for a tensor.

    0 samples give 0 frames; n >= 1 gives ``1 + n // hop_length`` if ``center``, ``n // hop_length`` for ``"same"``,
    else ``max(0, 1 + (n - n_fft) // hop_length)``; one less, but not below 0, if the last frame is dropped.
    """
    if center == "same":
        return lengths // hop_length
    if drop_last:
        if center:
            return lengths // hop_length
        lengths = lengths - hop_length
    if not isinstance(lengths, Tensor):
        if center:
            return min(lengths, 1) + lengths // hop_length
        # No maximum: in a trace the number of samples is a symbol, and FFTs take no frames of such a number.
        return 0 if lengths < n_fft else (lengths - n_fft) // hop_length + 1
    if center:
        return lengths // hop_length + lengths.clamp(max=1)
    return ((lengths + (hop_length - n_fft)) // hop_length).clamp(min=0)


@dataclass(frozen=True)
class Framing:
    """Parameters by which a signal is cut into windowed frames; equal framings share a Fourier transform.

    Args:
        sample_rate: Hz of the signal.
        n_fft: samples of a frame.
        hop_length: samples between frames.
        win_length: samples of the window, centred in the frame.
        window: name of the window.
        center: whether frame t has its centre at ``t * hop_length``; else it begins there. ``"same"``: its centre lies
            half a hop later, so that n samples have ``n // hop_length`` frames.
        pad_mode: how a signal goes on beyond its own ends, ``"reflect"`` or ``"constant"`` (zeros).
        symmetric: whether the window is symmetric, else periodic.
        normalized: what spectra are divided by: nothing, ``"frame_length"`` (the root of ``n_fft``) or ``"window"``
            (the root of the window's sum of squares).
        drop_last: whether the last frame is left out.
    """

    sample_rate: float
    n_fft: int
    hop_length: int
    win_length: int
    window: windows.Window = "hann"
    center: Center = True
    pad_mode: str = "reflect"
    symmetric: bool = False
    normalized: str | None = None
    drop_last: bool = False

    @property
    def rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @property
    def before(self) -> int:
        """Samples of the first frame that lie before the signal."""
        if self.center == "same":
            return (self.n_fft - self.hop_length) // 2
        return self.n_fft // 2 if self.center else 0

    @property
    def after(self) -> int:
        """Samples beyond the signal's end that its last frame may need."""
        if self.center == "same":
            return self.n_fft - self.hop_length - self.before
        return self.n_fft - self.n_fft // 2 if self.center else 0

    def count(self, lengths: Any) -> Any:
        """Returns the number of frames for numbers of samples, see `frame_count`."""
        return frame_count(lengths, self.n_fft, self.hop_length, self.center, self.drop_last)

    def times(self, n_frames: int) -> Tensor:
        """Returns the times of the frames' centres in seconds, float64 ``[n_frames]``."""
        first = self.n_fft // 2 - self.before
        return (torch.arange(n_frames, dtype=torch.float64) * self.hop_length + first) / self.sample_rate

    def taper(self) -> Tensor:
        """Returns the window, centred among zeros, over what spectra are divided by, float64 ``[n_fft]``."""
        values = windows.window(self.window, self.win_length, self.n_fft, symmetric=self.symmetric)
        if self.normalized == "frame_length":
            return values / math.sqrt(self.n_fft)
        return values / values.square().sum().sqrt() if self.normalized == "window" else values
