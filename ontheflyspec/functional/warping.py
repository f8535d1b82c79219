"""Axes that are stretched and squeezed: values read between their neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec import threads
from ontheflyspec.functional.blocks import applicable
from ontheflyspec.functional.masking import zero_past


def warp_knots(at: Tensor, by: Tensor, sizes: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """Returns where a point of each item lies before and after it moved, float64 ``[B]``, in steps.

    Args:
        at: float64 ``[B]`` in (0, 1): which of the points that lie ``reach`` or more from both ends.
        by: float64 ``[B]``, steps within ``-reach .. reach``, above 0 to later ones.
        sizes: int64 ``[B]`` on any device; items without such a point keep theirs at the end, where it stays.
        reach: how far a point may move.
    """
    at, by = (values.to(sizes.device, non_blocking=True) for values in (at, by))
    last = (sizes - 1).clamp(min=0).double()
    moves = (last > 2 * reach) & (by != 0)
    before = reach + at * (last - 2 * reach)
    return torch.where(moves, before, last), torch.where(moves, before + by, last)


def warp_positions(before: Tensor, after: Tensor, sizes: Tensor, size: int) -> Tensor:
    """Returns where the steps of a result read, float64 ``[B, size]``: straight between both ends and a moved point.

    Args:
        before: float64 ``[B]``, steps, where the point of each item was.
        after: float64 ``[B]``, where it is.
        sizes: int64 ``[B]``; the first and last step of each item stay in their places.
        size: steps.
    """
    last = (sizes - 1).clamp(min=0).double().unsqueeze(-1)
    before, after = before.unsqueeze(-1), after.unsqueeze(-1)
    steps = torch.arange(size, device=sizes.device, dtype=torch.float64)
    early = steps * (before / torch.where(after > 0, after, 1))
    rest = last - after
    late = last - (last - steps) * ((last - before) / torch.where(rest > 0, rest, 1))
    positions = torch.where(steps <= after, early, late)
    positions = torch.where(before == after, steps, positions)
    return torch.minimum(positions.clamp(min=0), last)


def read_between(data: Tensor, lengths: Tensor, positions: Tensor) -> Tensor:
    """Returns steps of the last axis read linearly between their neighbours, exactly 0 past each length.

    Args:
        data: ``[B, ..., N]``.
        lengths: int64 ``[B]`` on any device.
        positions: float64 ``[B, N]`` on any device, within each item's steps; whole ones give a step's own bits.
    """
    if not applicable(data, lengths, positions):
        index, share = _split(positions.to(data.device, non_blocking=True), lengths, data)
        shape = (data.shape[0], *[1] * (data.dim() - 2), data.shape[-1])
        low, high = (data.gather(-1, one.reshape(shape).expand(data.shape)) for one in index)
        return zero_past(_blend(low, high, share.reshape(shape)), lengths)
    out = torch.empty_like(data, memory_format=torch.contiguous_format)
    sizes = lengths.tolist()
    (first, second), shares = _split(positions, lengths, data)

    def job(row: int) -> None:
        own = slice(0, sizes[row])
        low, high = (data[row].index_select(-1, index[row, own]) for index in (first, second))
        out[row, ..., own] = _blend(low, high, shares[row, own])
        out[row, ..., sizes[row] :] = 0

    threads.each(job, len(sizes), data.numel() * 4)
    return out


def _split(positions: Tensor, lengths: Tensor, data: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Returns the two neighbours of each position and the share of the second."""
    last = (lengths.to(data.device, non_blocking=True) - 1).clamp(min=0).unsqueeze(-1)
    low = positions.floor()
    first = low.long()
    return (first, torch.minimum(first + 1, last)), (positions - low).to(data.dtype)


def _blend(low: Tensor, high: Tensor, share: Tensor) -> Tensor:
    return torch.where(share == 0, low, low + (high - low) * share)
