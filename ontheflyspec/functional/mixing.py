"""MixUp and CutMix: items of a batch mixed with partners, by weighted sums or by swapped segments."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from ontheflyspec.batch import expand_mask, per_item
from ontheflyspec.functional.masks import common_device, zero_past
from ontheflyspec.kept import count_up, where
from ontheflyspec.op import Op


def partners(ranks: Tensor) -> Tensor:
    """Returns each item's partner, the item with the next higher of the numbers ``[B]``; the highest gets the lowest.

    Partners form one cycle through all items, so that no item but a single one is its own partner. The pairs do not
    depend on the order of the items, as long as their numbers are distinct.
    """
    order = ranks.argsort(stable=True)
    return torch.empty_like(order).scatter(0, order, order.roll(-1))


def symmetric_beta(unit: Tensor, alpha: float) -> Tensor:
    """Returns numbers distributed as Beta(alpha, alpha), float64 ``[B]``, from two uniform numbers each, ``[B, 2]``.

    Reference: Devroye, "Random variate generation in one line of code", Winter Simulation Conference 1996.
    """
    radius, angle = unit.unbind(-1)
    near = torch.exp(torch.log(radius) / alpha)
    turn = torch.cos(2 * math.pi * angle)
    far = (1 - near) * turn * turn
    return (1 + turn.sign() * (far / (near + far)).sqrt()) / 2


@partial(Op, mixes_items=True)
def mix_pairs(data: Tensor, lengths: Tensor, *, partner: Tensor, weight: Tensor) -> Tensor:
    """MixUp: ``weight`` times each item plus ``1 - weight`` times its partner, exactly 0 past each item's own length.

    A longer partner is cut, a shorter one is looped. Items with a weight of 1 keep their bits.

    Args:
        data: ``[B, ..., N]``.
        lengths: int64 ``[B]`` on any device.
        partner: int64 ``[B]``, positions in the batch.
        weight: float64 ``[B]``.
    """
    steps = count_up(data.shape[-1], data.device)
    other = _of_partners(data, lengths, partner, steps.expand(data.shape[0], -1))
    own = per_item(weight, data)
    return zero_past(where(own == 1, data, data * own + other * per_item(1 - weight, data)), lengths)


def segments(weight: Tensor, place: Tensor, source: Tensor, lengths: Tensor, partner: Tensor) -> tuple[Tensor, ...]:
    """Returns the start and end of CutMix segments, and their start in the partners, int64 ``[B]`` each.

    Args:
        weight: float64 ``[B]``: share of the item outside the segment.
        place: float64 ``[B]`` in (0, 1): where among its possible starts the segment begins.
        source: likewise in the partner; a segment longer than its partner begins at the partner's start.
        lengths: int64 ``[B]`` on any device.
        partner: int64 ``[B]``, positions in the batch.
    """
    there = common_device(lengths, partner)
    lengths, weight, place, source, partner = (
        x.to(there, non_blocking=True) for x in (lengths, weight, place, source, partner)
    )
    sizes = ((1 - weight) * lengths).round().long()
    start = (place * (lengths - sizes + 1)).long()
    spare = (lengths.index_select(0, partner) - sizes).clamp(min=0)
    return start, start + sizes, (source * (spare + 1)).long()


@partial(Op, mixes_items=True)
def swap_segments(
    data: Tensor, lengths: Tensor, *, partner: Tensor, start: Tensor, end: Tensor, source: Tensor
) -> Tensor:
    """CutMix: replaces a segment of each item by one of its partner, exactly 0 past each item's own length.

    Args:
        data: ``[B, ..., N]``.
        lengths: int64 ``[B]`` on any device.
        partner: int64 ``[B]``, positions in the batch.
        start: int64 ``[B]``, first step of the segment.
        end: int64 ``[B]``, last step + 1; ``start`` for no segment.
        source: int64 ``[B]``, where the segment begins in the partner, which is looped.
    """
    start, end, source = (x.to(data.device, non_blocking=True).unsqueeze(-1) for x in (start, end, source))
    steps = count_up(data.shape[-1], data.device)
    other = _of_partners(data, lengths, partner, (steps - start + source).clamp(min=0))
    inside = expand_mask((steps >= start) & (steps < end), data)
    return zero_past(where(inside, other, data), lengths)


def _of_partners(data: Tensor, lengths: Tensor, partner: Tensor, steps: Tensor) -> Tensor:
    """Returns the partners' values at steps ``[B, N]``, looped at each partner's end, 0 for empty partners."""
    partner = partner.to(data.device, non_blocking=True)
    sizes = lengths.to(data.device, non_blocking=True).index_select(0, partner).unsqueeze(-1)
    index = expand_mask(steps % sizes.clamp(min=1), data).expand(data.shape)
    found = data.index_select(0, partner).gather(-1, index)
    return where(expand_mask(sizes > 0, data), found, 0)
