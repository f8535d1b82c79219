"""Channel shuffle and channel drop on a CPU, item by item."""

from __future__ import annotations

from torch import Tensor

from ontheflyspec.functional.channels import hide_channels, order_channels
from ontheflyspec.functional.masks import Fill
from ontheflyspec.kernels.cpu.masks import copy_and
from ontheflyspec.kernels.rows import Layout, Rows, by_item


@order_channels.kernel("rows")
def order_channels_rows(_: Layout, lengths: Tensor, *, order: Tensor) -> Rows:
    """Writes items with their channels in another order."""
    orders = order.tolist()

    def write_one(new: Tensor, old: Tensor, row: int) -> None:
        if len(orders[row]) == 1:
            new.copy_(old)
            return
        for place, channel in enumerate(orders[row]):
            new[:, place] = old[:, channel]

    return by_item(write_one, lengths)


@hide_channels.kernel("rows")
def hide_channels_rows(_: Layout, lengths: Tensor, *, hidden: Tensor, fill: Fill) -> Rows:
    """Writes copies of items, then a constant in their hidden channels."""
    silent = hidden.tolist()

    def overwrite(row: int, new: Tensor, _: Tensor, value: float) -> None:
        for channel, out in enumerate(silent[row]):
            if out:
                new[:, channel] = value

    return copy_and(overwrite, lengths, fill)
