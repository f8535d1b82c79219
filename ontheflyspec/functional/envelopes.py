"""Curves that waveforms are multiplied by: gains that move, fades."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ontheflyspec import threads
from ontheflyspec.batch import expand_mask, per_item
from ontheflyspec.functional.blocks import applicable
from ontheflyspec.functional.framing import cut
from ontheflyspec.functional.waveform import db_to_amplitude

SHAPES = ("linear", "exponential", "logarithmic", "quarter_sine", "half_sine")
_FINE = 1024
"""Samples of a moving gain that one exponential each is taken of."""


def ramp(share: Tensor, shape: str) -> Tensor:
    """Returns the way from 0 to 1 at shares of it, as torchaudio's Fade has its shapes."""
    if shape == "exponential":
        return torch.exp2(share - 1) * share
    if shape == "logarithmic":
        return (torch.log10(0.1 + share) + 1).clamp(0, 1)
    if shape == "quarter_sine":
        return torch.sin(share * (math.pi / 2))
    if shape == "half_sine":
        return torch.sin(share * math.pi - math.pi / 2) / 2 + 0.5
    return share


def fade(data: Tensor, lengths: Tensor, rise: Tensor, fall: Tensor, shape: str) -> Tensor:
    """Returns items that begin and end in silence, exactly 0 past each length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        rise: samples until an item has its level, int64 ``[B]``; 0 for none, no more than the item has.
        fall: samples from where an item leaves its level, likewise.
        shape: one of `SHAPES`.
    """
    if applicable(data, lengths, rise, fall):
        return _fade_one_by_one(data, lengths, rise, fall, shape)
    device = data.device
    n, rise, fall = (x.to(device, non_blocking=True).unsqueeze(-1) for x in (lengths, rise, fall))
    place = torch.arange(data.shape[-1], device=device)
    factor = torch.ones((), dtype=data.dtype, device=device)
    for steps, edge in ((place, torch.minimum(rise, n)), (n - 1 - place, torch.minimum(fall, n))):
        share = (steps / (edge - 1).clamp(min=1)).clamp(0, 1).to(data.dtype)
        factor = factor * torch.where(steps < edge, ramp(share, shape), 1)
    return cut(data * expand_mask(factor, data), lengths)


def _fade_one_by_one(data: Tensor, lengths: Tensor, rise: Tensor, fall: Tensor, shape: str) -> Tensor:
    """Returns the same by copies whose edges alone are worked on."""
    out = torch.empty_like(data, memory_format=torch.contiguous_format)
    sizes, rises, falls = lengths.tolist(), rise.tolist(), fall.tolist()

    def curve(edge: int) -> Tensor:
        steps = torch.arange(edge, dtype=torch.float64, device="cpu") / max(edge - 1, 1)
        return ramp(steps.to(data.dtype), shape)

    def job(row: int) -> None:
        n, target = sizes[row], out[row]
        target[..., :n] = data[row, ..., :n]
        target[..., n:].zero_()
        start, end = min(rises[row], n), min(falls[row], n)
        target[..., :start] *= curve(start)
        target[..., n - end : n] *= curve(end).flip(0)

    threads.each(job, len(sizes), data.numel())
    return out


def glide(data: Tensor, lengths: Tensor, gains_db: Tensor, start: Tensor, width: Tensor, active: Tensor) -> Tensor:
    """Returns items whose gain moves evenly in dB from one value to another, exactly 0 past each length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        gains_db: float64 ``[B, 2]``, before and after.
        start: where among the places that the move fits into it begins, float64 ``[B]`` in 0..1.
        width: samples of the move, float64 ``[B]``; an item's at most.
        active: bool ``[B]``; other items keep their valid part bit for bit.
    """
    if applicable(data, lengths, gains_db, start, width, active):
        return _glide_one_by_one(data, lengths, gains_db, start, width, active)
    device = data.device
    n, begin, wide = (x.to(device, non_blocking=True).double().unsqueeze(-1) for x in (lengths, start, width))
    wide = torch.minimum(wide, n)
    steps = torch.arange(data.shape[-1], device=device) - begin * (n - wide)
    share = (steps / wide.clamp(min=1)).clamp(0, 1).to(data.dtype)
    first, last = (per_item(gain, share) for gain in gains_db.unbind(-1))
    factor = torch.where(per_item(active, share) != 0, db_to_amplitude(first + (last - first) * share), 1)
    return cut(data * expand_mask(factor, data), lengths)


def _glide_one_by_one(
    data: Tensor, lengths: Tensor, gains_db: Tensor, start: Tensor, width: Tensor, active: Tensor
) -> Tensor:
    """Returns the same, with one number for the gain before and after the move."""
    out = torch.empty_like(data, memory_format=torch.contiguous_format)
    sizes, gains, starts, widths, chosen = (x.tolist() for x in (lengths, gains_db, start, width, active))

    def job(row: int) -> None:
        n, source, target = sizes[row], data[row], out[row]
        target[..., n:].zero_()
        if not chosen[row]:
            target[..., :n] = source[..., :n]
            return
        wide, (first, last) = min(widths[row], n), gains[row]
        begin = starts[row] * (n - wide)
        left = min(math.ceil(begin), n)
        right = min(max(math.ceil(begin + max(wide, 1.0)), left), n)
        torch.mul(source[..., :left], 10 ** (first / 20), out=target[..., :left])
        slope = (last - first) / max(wide, 1.0)
        curve = _geometric(first + (left - begin) * slope, slope, right - left).to(data.dtype)
        torch.mul(source[..., left:right], curve, out=target[..., left:right])
        torch.mul(source[..., right:n], 10 ** (last / 20), out=target[..., right:n])

    threads.each(job, len(sizes), data.numel())
    return out


def _geometric(first_db: float, step_db: float, count: int) -> Tensor:
    """Returns gains that rise by as many decibels from each to the next, as products of coarse and fine ones."""
    rows = -(-count // _FINE)
    fine = torch.arange(_FINE, dtype=torch.float64, device="cpu") * step_db
    coarse = torch.arange(rows, dtype=torch.float64, device="cpu") * (step_db * _FINE) + first_db
    return (db_to_amplitude(coarse).unsqueeze(-1) * db_to_amplitude(fine)).view(-1)[:count]
