"""Kernels by rows: operations written item by item, so that items pass through several of them in the cache.

Results are bitwise the same alone and in a batch: a torch operation whose bits depend on the shape or the address of
its operands gets one item at a time, and several items share an operation only where bits do not.
"""
# ruff: noqa: UP006, UP035

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, List, NamedTuple

import torch
from torch import Tensor

from ontheflyspec.kernels import threads
from ontheflyspec.kernels.compiled import compiled

SMALL = 1 << 15
"""Most values of short items that share one operation; torch uses a single thread for so few."""


class Layout(NamedTuple):
    """Shape ``[B, ..., T]`` and type of the data that a kernel prepares for, before the samples are there."""

    shape: torch.Size
    dtype: torch.dtype


class Rows(NamedTuple):
    """Prepared kernel by rows: a function that writes any items of the result.

    Args:
        write: takes the result, the data and the positions of items, none of them empty; writes these items up to their
            ends, from their own steps alone, or those of other items of the data if the `Op` ``mixes_items``.
        cost: work per value, in copies of a value.
        like: ``[F]``, for type and number of features (axis -2), if the result has others than the data.
    """

    write: Callable[[Tensor, Tensor, List[int]], object]
    cost: float = 1.0
    like: Tensor | None = None


class Task(NamedTuple):
    """One operation on all items of a batch.

    Args:
        rows: its prepared kernel.
        data: ``[B, ..., T]``.
        out: ``[B, ..., N]``.
        sizes: steps of each item of the data.
        ends: steps of each item of the result.
        chosen: which items are written; others keep their steps.
        last: whether nothing follows, so that the result is to be 0 past each end.
    """

    rows: Rows
    data: Tensor
    out: Tensor
    sizes: list[int]
    ends: list[int]
    chosen: list[bool]
    last: bool

    def do(self, items: Sequence[int]) -> None:
        """Writes some items."""
        written = [row for row in items if self.chosen[row]]
        kept = [row for row in items if self.sizes[row] and not self.chosen[row]]
        width = self.out.shape[-1]
        # No kernel writes the result of an empty item, which a later operation may read all the same.
        padded = [row for row in items if not self.sizes[row] or (self.last and self.ends[row] < width)]
        if kept or padded:
            keep_rows(self.out, self.data, self.sizes, self.ends, kept, padded)
        if written:
            self.rows.write(self.out, self.data, written)


class ScratchBuffers:
    """Buffers for the results of operations in a row, used in turn: one is free again two operations later."""

    def __init__(self) -> None:
        self.made: list[Tensor] = []

    def after(self, data: Tensor, size: int, like: Tensor | None) -> Tensor:
        """Returns a buffer for a result with a last axis of ``size`` that does not overlap the data.

        Args:
            data: of the operation, ``[B, ..., T]``.
            size: steps of the result's last axis.
            like: as in `Rows`.
        """
        source = data if like is None else like
        shape = (*data.shape[:-1], size) if like is None else (*data.shape[:-2], like.shape[0], size)
        for one in self.made:
            if one.numel() == math.prod(shape) and one.dtype == source.dtype and one.data_ptr() != data.data_ptr():
                return one.view(shape)
        self.made.append(source.new_empty(shape))
        return self.made[-1]


def run(tasks: Mapping[int, Task], sizes: list[int], within: Callable[[int], AbstractContextManager[Any]]) -> None:
    """Runs operations in a row, group of items by group of items, on all threads.

    Args:
        tasks: the operations in their order, by their place.
        sizes: steps of each item, by which items are grouped.
        within: returns the context of the operation at a place.
    """
    # Large groups first, smaller ones towards the end, so that all threads have work to the end.
    groups = threads.grouped(sizes, lambda left: left // (2 * torch.get_num_threads()))

    def work(number: int) -> None:
        items = range(len(sizes))[groups[number]]
        for place, task in tasks.items():
            with within(place):
                task.do(items)

    threads.each(work, len(groups), sum(task.rows.cost * task.data.numel() for task in tasks.values()))


@compiled()
def keep_rows(out: Tensor, data: Tensor, sizes: List[int], ends: List[int], kept: List[int], padded: List[int]) -> None:
    """Copies the valid part of some items, and writes 0 past the end of others.

    Args:
        out: ``[B, ..., N]``.
        data: ``[B, ..., T]``.
        sizes: steps of each item of ``data``.
        ends: steps of each item of ``out``; all of them are 0 where ``data`` has none.
        kept: which items to copy.
        padded: which items to write 0 past the end of.
    """
    for row in kept:
        out[row][..., : sizes[row]].copy_(data[row][..., : sizes[row]])
    for row in padded:
        out[row][..., ends[row] if sizes[row] > 0 else 0 :].zero_()


def with_channels(write: Callable[[Tensor, Tensor, List[int]], object]) -> Callable[..., None]:
    """Adapts a ``write`` of `Rows` for ``[B, C, T]`` to waves with or without an axis of channels."""

    def on_waves(out: Tensor, data: Tensor, rows: list[int]) -> None:
        new, old = (x if x.dim() == 3 else x.unsqueeze(1) for x in (out, data))
        write(new, old, rows)

    return on_waves


def items_kernel(compute: Callable[..., Tensor]) -> Callable[..., Rows]:
    """Makes a kernel by rows of a function of batches that gives each item the bits it has alone.

    Args:
        compute: takes contiguous ``[b, ..., n]``, lengths ``[b]`` or None for one full item, and the options; returns
            ``[b, ..., n]`` with 0 past the lengths.
    """

    def kernel(like: Layout, lengths: Tensor, **options: Any) -> Rows:
        sizes, width = lengths.tolist(), math.prod(like.shape[1:-1])

        def write(out: Tensor, data: Tensor, rows: list[int]) -> None:
            for some in threads.grouped([sizes[row] * width for row in rows], lambda _: SMALL, rows):
                items = slice(rows[some.start], rows[some.stop - 1] + 1)
                top, own = max(sizes[items]), lengths[items] if items.stop - items.start > 1 else None
                out[items, ..., :top] = compute(data[items, ..., :top].contiguous(), own, **options)

        return Rows(write)

    return kernel


def by_item(write_one: Callable[[Tensor, Tensor, int], object], lengths: Tensor, cost: float = 1.0) -> Rows:
    """Makes a prepared kernel of a function that writes one item.

    Args:
        write_one: takes the result and the data of an item, ``[1, ..., n]`` each, and its position; writes the result.
        lengths: steps n of each item, on the host.
        cost: as in `Rows`.
    """
    sizes = lengths.tolist()

    def write(out: Tensor, data: Tensor, rows: list[int]) -> None:
        for row in rows:
            write_one(out[row : row + 1, ..., : sizes[row]], data[row : row + 1, ..., : sizes[row]], row)

    return Rows(write, cost)


def in_turn(first: Rows, second: Rows) -> Rows:
    """Chains two prepared kernels: the second one changes the results of the first one in place."""

    def write(out: Tensor, data: Tensor, rows: list[int]) -> None:
        first.write(out, data, rows)
        second.write(out, out, rows)

    return Rows(write, first.cost + second.cost)
