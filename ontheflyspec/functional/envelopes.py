"""Fades in and out, and gain transitions: waveforms times a gain curve."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ontheflyspec.batch import expand_mask, items_mask, per_item
from ontheflyspec.functional.signal_frames import zero_padding
from ontheflyspec.functional.snr import db_to_amplitude
from ontheflyspec.kept import count_up, where
from ontheflyspec.op import Op
from ontheflyspec.precision import wide

SHAPES = ("linear", "exponential", "logarithmic", "quarter_sine", "half_sine")


def ramp(share: Tensor, shape: str) -> Tensor:
    """Returns gains from 0 to 1 at shares (0 to 1) of a fade-in, in the shapes of ``torchaudio.transforms.Fade``."""
    if shape == "exponential":
        return torch.exp2(share - 1) * share
    if shape == "logarithmic":
        return (torch.log10(0.1 + share) + 1).clamp(0, 1)
    if shape == "quarter_sine":
        return torch.sin(share * (math.pi / 2))
    if shape == "half_sine":
        return torch.sin(share * math.pi - math.pi / 2) / 2 + 0.5
    return share


@Op
def fade(data: Tensor, lengths: Tensor, *, rise: Tensor, fall: Tensor, shape: str) -> Tensor:
    """Fades items in and out, exactly 0 past each length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        rise: samples of the fade-in, int64 ``[B]``; 0 for none, an item's length at most.
        fall: samples of the fade-out, int64 ``[B]``; 0 for none, an item's length at most.
        shape: one of `SHAPES`.
    """
    device = data.device
    n, rise, fall = (x.to(device, non_blocking=True).unsqueeze(-1) for x in (lengths, rise, fall))
    place = count_up(data.shape[-1], device).expand(len(n), -1)
    steps = torch.stack([place, n - 1 - place], 1)  # from each end
    edge = torch.minimum(torch.cat([rise, fall], 1), n).unsqueeze(-1)
    share = (steps.to(data.dtype) / (edge - 1).clamp(min=1)).clamp(0, 1)
    factor = where(steps < edge, ramp(share, shape), 1).prod(1)
    return zero_padding(data * expand_mask(factor, data), lengths)


@Op
def glide(data: Tensor, lengths: Tensor, *, active: Tensor, gains_db: Tensor, start: Tensor, width: Tensor) -> Tensor:
    """Applies a gain that moves linearly in dB from one value to another, exactly 0 past each length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        active: bool ``[B]``; other items keep their valid part bit for bit.
        gains_db: float64 ``[B, 2]``, before and after.
        start: where among its possible starts the transition begins, float64 ``[B]`` in 0..1.
        width: samples of the transition, float64 ``[B]``; an item's length at most.
    """
    device = data.device
    n, begin, span = (x.to(device, wide(device), non_blocking=True).unsqueeze(-1) for x in (lengths, start, width))
    span = torch.minimum(span, n)
    steps = count_up(data.shape[-1], device) - begin * (n - span)
    share = (steps / span.clamp(min=1)).clamp(0, 1).to(data.dtype)
    first, last = (per_item(gain, share) for gain in gains_db.unbind(-1))
    factor = where(items_mask(active, share), db_to_amplitude(first + (last - first) * share), 1)
    return zero_padding(data * expand_mask(factor, data), lengths)
