"""Channels of an item: which stands where, and which are silent."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ontheflyspec import rng, threads
from ontheflyspec.functional.blocks import applicable
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
    if applicable(data, lengths, order):
        orders = order.tolist()

        def take(item: int, size: int, new: Tensor) -> None:
            for place, channel in enumerate(orders[item]):
                new[place] = data[item, channel, ..., :size]

        return _one_by_one(take, data, lengths)
    index = order.to(data.device, non_blocking=True).reshape(*order.shape, *[1] * (data.dim() - 2))
    return zero_past(data.gather(1, index.expand(data.shape)), lengths)


def hide_channels(data: Tensor, lengths: Tensor, hidden: Tensor, fill: Tensor) -> Tensor:
    """Returns items with ``fill`` in some channels, exactly 0 past each length.

    Args:
        data: ``[B, C, ..., N]``.
        lengths: int64 ``[B]`` on any device.
        hidden: bool ``[B, C]``.
        fill: ``[B, 1, ...]``, or ``[1]`` for all items.
    """
    if applicable(data, lengths, hidden, fill):
        silent, fills = hidden.tolist(), fill.flatten().expand(data.shape[0]).tolist()

        def take(item: int, size: int, new: Tensor) -> None:
            for channel, out in enumerate(silent[item]):
                new[channel] = fills[item] if out else data[item, channel, ..., :size]

        return _one_by_one(take, data, lengths)
    mask = hidden.to(data.device, non_blocking=True).reshape(*hidden.shape, *[1] * (data.dim() - 2))
    return zero_past(torch.where(mask, fill, data), lengths)


def _one_by_one(take: Callable[[int, int, Tensor], None], data: Tensor, lengths: Tensor) -> Tensor:
    """Returns what ``take`` writes into each item's valid part, knowing its place and size; 0 past each length."""
    out = torch.empty_like(data, memory_format=torch.contiguous_format)
    sizes = lengths.tolist()

    def job(item: int) -> None:
        take(item, sizes[item], out[item, ..., : sizes[item]])
        out[item, ..., sizes[item] :] = 0

    threads.each(job, len(sizes), data.numel())
    return out
