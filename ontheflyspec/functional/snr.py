"""Decibels of amplitudes, and waveforms mixed with noise at a signal-to-noise ratio (SNR)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ontheflyspec.batch import items_mask, per_item
from ontheflyspec.functional.masks import zero_past
from ontheflyspec.functional.statistics import valid_power
from ontheflyspec.kept import where


def db_to_amplitude(decibels: Tensor) -> Tensor:
    """Returns amplitudes ``10 ** (decibels / 20)``; ``exp`` gives the same bits alone as in a batch, unlike ``pow``."""
    return torch.exp(decibels * (math.log(10) / 20))


def snr_scale(signal_power: Tensor, noise_power: Tensor, snr_db: Tensor) -> Tensor:
    """Returns the factor of noise at which it lies ``snr_db`` below the signal; 0 where either is silent."""
    heard = torch.minimum(signal_power, noise_power) > 0
    ratio = where(heard, signal_power, 1).sqrt() / where(heard, noise_power, 1).sqrt()
    return where(heard, ratio / db_to_amplitude(snr_db).to(ratio.dtype), 0)


def mix(
    data: Tensor,
    lengths: Tensor,
    active: Tensor,
    noise: Tensor,
    power: Tensor,
    snr_db: Tensor | None,
    level_db: Tensor | None = None,
) -> Tensor:
    """Adds noise to items at an SNR to the power of their valid part, or at a level, exactly 0 past each length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        active: bool ``[B]``; other items keep their valid part bit for bit.
        noise: broadcasts over ``data``.
        power: of the noise, ``[B, 1, ...]``.
        snr_db: float64 ``[B]``, None where a level is given.
        level_db: root mean square of the noise in dB of full scale, float64 ``[B]``.
    """
    if level_db is not None:
        amplitude = db_to_amplitude(per_item(level_db, data)).to(power.dtype)
        scale = where(power > 0, amplitude / where(power > 0, power, 1).sqrt(), 0)
    else:
        assert snr_db is not None
        scale = snr_scale(valid_power(data, lengths), power, per_item(snr_db, data))
    return zero_past(where(items_mask(active, data), data + noise * scale, data), lengths)
