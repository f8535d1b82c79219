"""Frequency scales: mel (Slaney, HTK, Kaldi), bark (four formulas), and the centre frequencies of FFT bins."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MEL_SCALES = ("slaney", "htk", "kaldi")
BARK_SCALES = ("traunmuller", "zwicker", "schroeder", "wang")

_LINEAR_STEP = 200.0 / 3
_LOG_START = 1000.0
_LOG_STEP = math.log(6.4) / 27
_ARSINH = {"schroeder": (7.0, 650.0), "wang": (6.0, 600.0)}
_HIGHEST = 2.0**24
"""Hz, beyond what any signal has, where the search for an inverse begins."""


def bin_frequencies(sample_rate: float, n_fft: int) -> Tensor:
    """Returns Hz of the bins of an FFT, float64 ``[n_fft // 2 + 1]``."""
    return torch.arange(n_fft // 2 + 1, dtype=torch.float64, device="cpu") * sample_rate / n_fft


def hz_to_scale(frequencies: Tensor, scale: str) -> Tensor:
    """Returns mels, barks or Hz for Hz.

    Args:
        frequencies: Hz, any shape, float64.
        scale: mels as in ``"slaney"`` (linear below 1 kHz, logarithmic above), ``"htk"`` or ``"kaldi"`` (natural
            logarithm); barks as in ``"traunmuller"`` (1990, with corrections below 2 and above 20.1 bark),
            ``"zwicker"`` (Zwicker and Terhardt 1980), ``"schroeder"`` (1979) or ``"wang"`` (1992); or ``"linear"``.
    """
    if scale == "linear":
        return frequencies
    if scale == "slaney":
        linear = frequencies / _LINEAR_STEP
        log = _LOG_START / _LINEAR_STEP + torch.log(frequencies.clamp(min=1e-9) / _LOG_START) / _LOG_STEP
        return torch.where(frequencies >= _LOG_START, log, linear)
    if scale == "htk":
        return 2595.0 * torch.log10(1.0 + frequencies / 700.0)
    if scale == "kaldi":
        return 1127.0 * torch.log(1.0 + frequencies / 700.0)
    if scale in _ARSINH:
        factor, corner = _ARSINH[scale]
        return factor * torch.asinh(frequencies / corner)
    if scale == "zwicker":
        return 13.0 * torch.atan(0.00076 * frequencies) + 3.5 * torch.atan((frequencies / 7500.0).square())
    barks = 26.81 * frequencies / (1960.0 + frequencies) - 0.53
    return barks + 0.15 * (2.0 - barks).clamp(min=0.0) + 0.22 * (barks - 20.1).clamp(min=0.0)


def scale_to_hz(values: Tensor, scale: str) -> Tensor:
    """Returns Hz for mels, barks or Hz: the inverse of `hz_to_scale`, by bisection where it has no closed form."""
    if scale == "linear":
        return values
    if scale == "slaney":
        start = _LOG_START / _LINEAR_STEP
        return torch.where(values >= start, _LOG_START * torch.exp(_LOG_STEP * (values - start)), values * _LINEAR_STEP)
    if scale == "htk":
        return 700.0 * (10.0 ** (values / 2595.0) - 1.0)
    if scale == "kaldi":
        return 700.0 * (torch.exp(values / 1127.0) - 1.0)
    if scale in _ARSINH:
        factor, corner = _ARSINH[scale]
        return corner * torch.sinh(values / factor)
    if scale == "zwicker":
        low, high = torch.zeros_like(values), torch.full_like(values, _HIGHEST)
        for _ in range(80):
            middle = (low + high) / 2
            below = hz_to_scale(middle, scale) < values
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return high
    plain = torch.where(values < 2.0, (values - 0.3) / 0.85, values)
    plain = torch.where(values > 20.1, (values + 0.22 * 20.1) / 1.22, plain)
    return 1960.0 * (plain + 0.53) / (26.28 - plain)


def spaced(count: int, fmin: float, fmax: float, scale: str) -> Tensor:
    """Returns ``count`` frequencies in Hz from ``fmin`` to ``fmax``, evenly spaced over a scale, float64."""
    low, high = hz_to_scale(torch.tensor([fmin, fmax], dtype=torch.float64, device="cpu"), scale).tolist()
    return scale_to_hz(torch.linspace(low, high, count, dtype=torch.float64, device="cpu"), scale)
