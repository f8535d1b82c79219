"""Channels of an item: which stands where, and which are silent."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec import rng
from ontheflyspec.functional.blocks import applicable, map_items
from ontheflyspec.functional.masking import zero_past


def channel_orders(keys: Tensor, count: int) -> Tensor:
    """Returns a permutation of ``count`` channels for each key, int64 ``[B, count]``, all equally likely."""
    return rng.uniform(keys, 0, count).argsort(dim=-1, stable=True)


def order_channels(data: Tensor, lengths: Tensor, order: Tensor) -> Tensor:
    """Returns items whose channels stand in another order, exactly 0 past each length.

    Args:
        data: ``[B, C, ..., N]``.
        lengths: int64 ``[B]`` on any device.
        order: int64 ``[B, C]``: which channel comes to each place.
    """
    index = order.to(data.device, non_blocking=True).reshape(*order.shape, *[1] * (data.dim() - 2))
    if not applicable(data, lengths, order):
        return zero_past(data.gather(1, index.expand(data.shape)), lengths)

    def compute(part: Tensor, own: Tensor | None, items: slice) -> Tensor:
        moved = part.gather(1, index[items].expand(part.shape))
        return moved if own is None else zero_past(moved, own)

    return map_items(data, lengths, compute)


def hide_channels(data: Tensor, lengths: Tensor, hidden: Tensor, fill: Tensor) -> Tensor:
    """Returns items with ``fill`` in some channels, exactly 0 past each length.

    Args:
        data: ``[B, C, ..., N]``.
        lengths: int64 ``[B]`` on any device.
        hidden: bool ``[B, C]``.
        fill: ``[B, 1, ...]``, or ``[1]`` for all items.
    """
    mask = hidden.to(data.device, non_blocking=True).reshape(*hidden.shape, *[1] * (data.dim() - 2))
    if not applicable(data, lengths, hidden, fill):
        return zero_past(torch.where(mask, fill, data), lengths)

    def compute(part: Tensor, own: Tensor | None, items: slice) -> Tensor:
        left = torch.where(mask[items], fill[items] if fill.dim() > 1 else fill, part)
        return left if own is None else zero_past(left, own)

    return map_items(data, lengths, compute)
