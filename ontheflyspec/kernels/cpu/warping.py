"""Time and frequency warping by linear interpolation on a CPU, item by item."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ontheflyspec.functional.warping import blend, mask_warped, neighbours, read_between
from ontheflyspec.kernels.cpu.masks import mask_spans_rows
from ontheflyspec.kernels.rows import Layout, Rows, by_item, in_turn


@read_between.kernel("rows")
def read_between_rows(like: Layout, lengths: Tensor, *, positions: Tensor, axis: int) -> Rows:
    """Writes items interpolated at their positions."""
    first, second, share = neighbours(positions, lengths, like.shape[axis], like.dtype, axis)

    def write_one(new: Tensor, old: Tensor, row: int) -> None:
        own = slice(0, old.shape[axis])
        low, high = (old.index_select(axis, index[row, own]) for index in (first, second))
        new.copy_(blend(low, high, share[row, own] if axis == -1 else share[row].unsqueeze(-1)))

    return by_item(write_one, lengths, cost=4)


@mask_warped.kernel("rows")
def mask_warped_rows(like: Layout, lengths: Tensor, *, positions: Tensor, **masks: Any) -> Rows:
    """Writes warped items, then masks them."""
    warped = read_between_rows(like, lengths, positions=positions, axis=-1)
    return in_turn(warped, mask_spans_rows(like, lengths, **masks))
