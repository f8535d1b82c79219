"""Channel shuffle and channel drop: channels of an item put in another order, or replaced by a constant."""

from __future__ import annotations

from torch import Tensor

from ontheflyspec import rng
from ontheflyspec.functional.masks import Fill, fill_values, zero_past
from ontheflyspec.kept import where
from ontheflyspec.op import Op


def channel_orders(keys: Tensor, count: int) -> Tensor:
    """Returns a permutation of ``count`` channels for each key, int64 ``[B, count]``, all equally likely."""
    return rng.uniform(keys, 0, count).argsort(dim=-1, stable=True)


@Op
def order_channels(data: Tensor, lengths: Tensor, *, order: Tensor) -> Tensor:
    """Returns items with their channels in another order, exactly 0 past each length.

    Args:
        data: ``[B, C, ..., N]``, or without channels.
        lengths: int64 ``[B]`` on any device.
        order: int64 ``[B, C]``, the channel for each place; ``[B, 1]`` without channels.
    """
    if order.shape[1] == 1:
        return zero_past(data.clone(), lengths)
    index = order.to(data.device, non_blocking=True).reshape(*order.shape, *[1] * (data.dim() - 2))
    return zero_past(data.gather(1, index.expand(data.shape)), lengths)


@Op
def hide_channels(data: Tensor, lengths: Tensor, *, hidden: Tensor, fill: Fill) -> Tensor:
    """Returns items with some channels replaced by a constant, exactly 0 past each length.

    Args:
        data: ``[B, C, ..., N]``, or without channels.
        lengths: int64 ``[B]`` on any device.
        hidden: channels to replace, bool ``[B, C]``, or ``[B, 1]`` of False without channels.
        fill: the constant.
    """
    mask = hidden.to(data.device, non_blocking=True).reshape(*hidden.shape, *[1] * (data.dim() - 2))
    return zero_past(where(mask, fill_values(fill, data, lengths), data), lengths)
