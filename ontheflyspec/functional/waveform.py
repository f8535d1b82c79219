"""Waveforms: levels, shifts and sums."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ontheflyspec.batch import expand_mask
from ontheflyspec.functional import programs
from ontheflyspec.functional.blocks import applicable, map_items, map_rows
from ontheflyspec.functional.masking import zero_past
from ontheflyspec.functional.programs import fast

SHIFT = fast(programs.shift_rows)


def db_to_amplitude(decibels: Tensor) -> Tensor:
    """Returns ``10 ** (decibels / 20)``; ``exp`` gives the same bits alone as in a batch, ``pow`` does not."""
    return torch.exp(decibels * (math.log(10) / 20))


def shift_samples(data: Tensor, lengths: Tensor, shift: Tensor, *, circular: bool) -> Tensor:
    """Returns each item moved within its own valid part, exactly 0 past its length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        shift: int64 ``[B]``, samples; above 0 moves to later times.
        circular: what leaves on one side comes in on the other; else zeros come in.
    """
    if applicable(data, lengths, shift):
        sizes = lengths.tolist()
        within = shift % lengths.clamp(min=1) if circular else torch.minimum(torch.maximum(shift, -lengths), lengths)
        steps = within.tolist()
        return map_rows(data, lengths, None, lambda out, rows: SHIFT(out, data, rows, sizes, steps, circular))
    lengths = lengths.to(data.device, non_blocking=True).unsqueeze(-1)
    shift = shift.to(data.device, non_blocking=True).unsqueeze(-1)
    later = torch.arange(data.shape[-1], device=data.device)
    valid = later < lengths
    if circular:
        source = later - shift % lengths.clamp(min=1)
        source = torch.where(source < 0, source + lengths, source)
    else:
        source = later - shift
        valid = valid & (source >= 0) & (source < lengths)
    source = torch.where(valid, source, 0)
    moved = data.gather(-1, expand_mask(source, data).expand(data.shape))
    return torch.where(expand_mask(valid, data), moved, 0)


def snr_scale(signal_power: Tensor, noise_power: Tensor, snr_db: Tensor) -> Tensor:
    """Returns what noise is multiplied by to lie ``snr_db`` below the signal; 0 where either is silent."""
    heard = (signal_power > 0) & (noise_power > 0)
    ratio = torch.where(heard, signal_power, 1).sqrt() / torch.where(heard, noise_power, 1).sqrt()
    return torch.where(heard, ratio / db_to_amplitude(snr_db), 0)


def mix(data: Tensor, lengths: Tensor, other: Tensor, scale: Tensor, active: Tensor) -> Tensor:
    """Returns ``data + other * scale`` for the active items, exactly 0 past each length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        other: of the shape of ``data``.
        scale: ``[B, 1, ...]``.
        active: bool ``[B, 1, ...]``; other items keep their valid part bit for bit.
    """
    if not applicable(data, lengths, other, scale):
        return zero_past(torch.where(active, data + other * scale, data), lengths)

    def compute(part: Tensor, own: Tensor | None, items: slice) -> Tensor:
        mixed = torch.where(active[items], part + other[items, ..., : part.shape[-1]] * scale[items], part)
        return mixed if own is None else zero_past(mixed, own)

    return map_items(data, lengths, compute)
