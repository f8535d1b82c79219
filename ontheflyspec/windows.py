"""Window functions (Hann, Hamming, Blackman, Bartlett, ...), periodic or symmetric, in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec import checks

COSINES = {
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
    "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
    "rectangular": (1.0,),
}
"""Coefficients of cosine-sum windows: the mean, then those of 1, 2, 3 periods, with alternating signs."""
NAMES = (*COSINES, "bartlett")


def window(name: str, win_length: int, n_fft: int) -> Tensor:
    """Returns a periodic window, centred in ``n_fft`` samples, as ``scipy.signal.get_window`` has it.

    Args:
        name: one of `NAMES`.
        win_length: samples of the window itself.
        n_fft: samples of the frame; zeros stand on both sides of the window.

    Shape: float64 ``[n_fft]``.
    """
    return _centred(name, win_length, win_length, n_fft)


def symmetric(name: str, win_length: int, n_fft: int) -> Tensor:
    """Returns a symmetric window, ``get_window(..., fftbins=False)`` of scipy; arguments as in `window`."""
    return _centred(name, win_length, win_length - 1, n_fft)


def _centred(name: str, win_length: int, period: int, n_fft: int) -> Tensor:
    """Returns ``win_length`` samples of a window with a period of ``period`` samples, centred among zeros."""
    checks.choice("window", "window", name, NAMES)
    share = torch.arange(win_length, dtype=torch.float64) / max(period, 1)
    values = at(name, share) if win_length > 1 else torch.ones_like(share)
    left = (n_fft - win_length) // 2
    return torch.nn.functional.pad(values, (left, n_fft - win_length - left))


def at(name: str, phase: Tensor) -> Tensor:
    """Returns the values of a window at shares of its length, 0 to 1, in float64."""
    if name == "bartlett":
        return 1 - (2 * phase - 1).abs()
    values = torch.zeros_like(phase)
    for order, weight in enumerate(COSINES[name]):
        values += (-1) ** order * weight * torch.cos(2 * torch.pi * order * phase)
    return values
