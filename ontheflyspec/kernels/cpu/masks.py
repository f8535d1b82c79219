"""Time and frequency masks, band shifts, gains and offsets on a CPU, item by item."""
# ruff: noqa: UP006, UP035

from __future__ import annotations

from collections.abc import Callable
from typing import List

import torch
from torch import Tensor

from ontheflyspec.functional import masks
from ontheflyspec.functional.masks import Fill, Spans
from ontheflyspec.kernels import threads
from ontheflyspec.kernels.compiled import compiled
from ontheflyspec.kernels.rows import Layout, Rows, by_item


@masks.zero_past.kernel("cpu")
def zero_past_in_place(data: Tensor, lengths: Tensor) -> Tensor:
    """Writes 0 into the padding."""
    sizes = lengths.tolist()

    def job(row: int) -> None:
        data[row, ..., sizes[row] :].zero_()

    threads.each(job, len(sizes), data.numel() // 4)
    return data


@compiled()
def combine_rows(out: Tensor, data: Tensor, rows: List[int], sizes: List[int], values: Tensor, multiply: bool) -> None:
    """Writes some items times (or plus) values of their own.

    Args:
        out: ``[B, ..., N]``.
        data: ``[B, ..., N]``.
        rows: which items.
        sizes: steps of each item.
        values: ``[B, ...]``, broadcast over each item.
        multiply: whether values are factors; else they are added.
    """
    for row in rows:
        new, old = out[row][..., : sizes[row]], data[row][..., : sizes[row]]
        if multiply:
            torch.mul(old, values[row], out=new)
        else:
            torch.add(old, values[row], out=new)


def _combining(like: Layout, lengths: Tensor, values: Tensor, *, multiply: bool) -> Rows:
    sizes, beside = lengths.tolist(), values.to(like.dtype).unsqueeze(-1)
    return Rows(lambda out, data, rows: combine_rows(out, data, rows, sizes, beside, multiply))


@masks.scale_items.kernel("rows")
def scale_items_rows(like: Layout, lengths: Tensor, *, factors: Tensor) -> Rows:
    """Writes items times their factors."""
    return _combining(like, lengths, factors, multiply=True)


@masks.raise_items.kernel("rows")
def raise_items_rows(like: Layout, lengths: Tensor, *, offsets: Tensor) -> Rows:
    """Writes items plus their offsets."""
    return _combining(like, lengths, offsets, multiply=False)


def copy_and(overwrite: Callable[[int, Tensor, Tensor, float], None], lengths: Tensor, fill: Fill) -> Rows:
    """Returns a kernel by rows that copies each item and overwrites parts of the copy.

    Args:
        overwrite: takes the position of an item, its copy, its data and the item's value for masked places.
        lengths: steps of each item.
        fill: what masked values become.
    """

    def write_one(new: Tensor, old: Tensor, row: int) -> None:
        new.copy_(old)
        value = 0.0 if isinstance(fill, str) else fill
        if fill == "mean":
            # As `valid_mean` rounds: the sum of a contiguous copy, over a count of its own type.
            value = (old.contiguous().sum() / old.new_tensor(max(old.numel(), 1))).item()
        overwrite(row, new, old, value)

    return by_item(write_one, lengths)


@masks.mask_spans.kernel("rows")
def mask_spans_rows(_: Layout, lengths: Tensor, *, frames: Spans, bands: Spans, fill: Fill) -> Rows:
    """Writes copies of items, then masks their spans of frames and bands."""
    times, heights = (torch.stack(spans, -1).tolist() for spans in (frames, bands))

    def overwrite(row: int, new: Tensor, _: Tensor, value: float) -> None:
        for start, end in times[row]:
            new[..., start:end] = value
        for lowest, top in heights[row]:
            new[..., lowest:top, :] = value

    return copy_and(overwrite, lengths, fill)


@masks.mask_holes.kernel("rows")
def mask_holes_rows(_: Layout, lengths: Tensor, *, frames: Spans, bands: Spans, fill: Fill) -> Rows:
    """Writes copies of items, then masks their holes."""
    holes = torch.stack([*frames, *bands], -1).tolist()

    def overwrite(row: int, new: Tensor, _: Tensor, value: float) -> None:
        for start, end, lowest, top in holes[row]:
            new[..., lowest:top, start:end] = value

    return copy_and(overwrite, lengths, fill)


@masks.shift_bands.kernel("rows")
def shift_bands_rows(like: Layout, lengths: Tensor, *, shift: Tensor, fill: Fill) -> Rows:
    """Writes copies of items, then shifts their bands."""
    count = like.shape[-2]
    steps = shift.clamp(-count, count).tolist()

    def overwrite(row: int, new: Tensor, old: Tensor, value: float) -> None:
        if by := steps[row]:
            first, last = max(by, 0), count + min(by, 0)
            new[..., first:last, :] = old[..., first - by : last - by, :]
            new[..., :first, :] = value
            new[..., last:, :] = value

    return copy_and(overwrite, lengths, fill)
