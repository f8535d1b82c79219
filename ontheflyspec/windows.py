"""Window functions, periodic or symmetric, in float64."""

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
NAMES = (*COSINES, "bartlett")


def window(name: str, win_length: int, n_fft: int) -> Tensor:
    """Returns a periodic window, centred in ``n_fft`` samples, as ``scipy.signal.get_window`` has it.

    Args:
        name: one of `NAMES`.
        win_length: samples of the window itself.
        n_fft: samples of the frame; zeros stand on both sides of the window.

    Shape: float64 ``[n_fft]``.
    """
    checks.choice("window", "window", name, NAMES)
    return _centred(_period(name, win_length) if win_length > 1 else _one(), n_fft)


def symmetric(name: str, win_length: int, n_fft: int) -> Tensor:
    """Returns what `window` does, but symmetric: ``get_window(..., fftbins=False)`` of scipy."""
    checks.choice("window", "window", name, NAMES)
    rest = _period(name, win_length - 1)
    return _centred(torch.cat([rest, rest[:1]]) if win_length > 1 else _one(), n_fft)


def _one() -> Tensor:
    return torch.ones(1, dtype=torch.float64)


def _period(name: str, count: int) -> Tensor:
    return at(name, torch.arange(count, dtype=torch.float64) / count)


def _centred(values: Tensor, n_fft: int) -> Tensor:
    left = (n_fft - len(values)) // 2
    return torch.nn.functional.pad(values, (left, n_fft - len(values) - left))


def at(name: str, phase: Tensor) -> Tensor:
    """Returns the values of a window at shares of its length, 0 to 1, in float64."""
    if name == "bartlett":
        return 1 - (2 * phase - 1).abs()
    values = torch.zeros_like(phase)
    for order, weight in enumerate(COSINES[name]):
        values += (-1) ** order * weight * torch.cos(2 * torch.pi * order * phase)
    return values
