"""Frequency scales: mel as Slaney, HTK and Kaldi have it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MEL_SCALES = ("slaney", "htk", "kaldi")

_LINEAR_STEP = 200.0 / 3
_LOG_START = 1000.0
_LOG_STEP = math.log(6.4) / 27


def hz_to_mel(frequencies: Tensor, scale: str) -> Tensor:
    """Returns mels for Hz.

    Args:
        frequencies: Hz, any shape, float64.
        scale: ``"slaney"`` (linear below 1 kHz, logarithmic above), ``"htk"`` or ``"kaldi"`` (natural logarithm).
    """
    if scale == "slaney":
        linear = frequencies / _LINEAR_STEP
        log = _LOG_START / _LINEAR_STEP + torch.log(frequencies.clamp(min=1e-9) / _LOG_START) / _LOG_STEP
        return torch.where(frequencies >= _LOG_START, log, linear)
    if scale == "htk":
        return 2595.0 * torch.log10(1.0 + frequencies / 700.0)
    return 1127.0 * torch.log(1.0 + frequencies / 700.0)


def mel_to_hz(mels: Tensor, scale: str) -> Tensor:
    """Returns Hz for mels; the inverse of `hz_to_mel`."""
    if scale == "slaney":
        start = _LOG_START / _LINEAR_STEP
        return torch.where(mels >= start, _LOG_START * torch.exp(_LOG_STEP * (mels - start)), mels * _LINEAR_STEP)
    if scale == "htk":
        return 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    return 700.0 * (torch.exp(mels / 1127.0) - 1.0)
