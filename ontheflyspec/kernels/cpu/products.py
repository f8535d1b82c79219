"""Filter banks over spectra on a CPU: one product for each run of neighbouring filters, on their own bins."""
# ruff: noqa: UP006, UP035

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import List, Tuple

import torch
from torch import Tensor

from ontheflyspec.functional.filterbanks import Band, filtered
from ontheflyspec.functional.stft import raise_power
from ontheflyspec.kernels import threads
from ontheflyspec.kernels.compiled import compiled
from ontheflyspec.pipeline import Block

TILE = 64
"""Rows of spectra are rounded up to multiples of this: tiny products take other ways through a library."""
BLOCK = 1 << 19
"""Samples of windowed frames in one block, 2 MiB in float32: smaller blocks lose more to the plan that every FFT call
makes than they win from the cache."""


def most_frames(n_fft: int) -> int:
    """Returns the most frames of one block."""
    return min(max(BLOCK // n_fft, 16), 2048)


@compiled()
def filter_products(energy: Tensor, weights: Tensor, bands: List[Tuple[int, int, int, int]], n: int) -> Tensor:
    """Returns filter outputs ``[F, n]`` for the first n rows of ``[m, bins]``.

    Args:
        energy: m rows go into every product, so that its shape is one of few.
        weights: ``[F, bins]``.
        bands: runs of filters, see `filterbanks.Band`.
        n: rows that count.
    """
    made: List[Tensor] = []
    for first, last, low, high in bands:
        made.append(torch.mm(weights[first:last, low:high], energy[:, low:high].t()))
    return torch.cat(made).narrow(1, 0, n)


@filtered.kernel("block")
def filtered_block(*, weights: Tensor, bands: list[Band], exponent: float) -> Block:
    """Returns filter outputs of rows of power."""

    def compute(power: Tensor, n: int) -> Tensor:
        return filter_products(raise_power(power, exponent), weights, bands, n)

    def invariant() -> bool:
        key = (tuple(bands), *weights.shape, weights.dtype, torch.get_num_threads())
        return exponent in (1, 2) and _places_agree(*key)

    return Block(compute, reads_rows=True, invariant=invariant)


@functools.lru_cache(maxsize=256)
def _places_agree(bands: tuple[Band, ...], filters: int, bins: int, dtype: torch.dtype, _: int) -> bool:
    """Returns whether `filter_products` have the same bits in any row, in whole tiles of them, by so many threads.

    No library promises it, but most add up the bins of any row in one order; tried on this machine, once.
    """
    weights, rows = numbers(filters, bins, dtype), most_frames(max(2 * (bins - 1), 1))
    return rows_agree(lambda energy: filter_products(energy, weights, list(bands), len(energy)).t(), bins, rows, dtype)


def numbers(rows: int, columns: int, dtype: torch.dtype) -> Tensor:
    """Returns some positive numbers ``[rows, columns]``."""
    return torch.arange(rows * columns, dtype=dtype, device="cpu").sin().abs().reshape(rows, columns)


def rows_agree(compute: Callable[[Tensor], Tensor], columns: int, rows: int, dtype: torch.dtype) -> bool:
    """Returns whether ``compute`` gives equal rows equal bits, in any place of up to ``rows`` in whole tiles."""
    row = numbers(1, columns, dtype)
    agree: list[bool] = []

    def task(_: int) -> None:
        first = compute(row.expand(TILE, columns).contiguous())[:1]
        for size in range(TILE, rows + TILE, TILE):
            agree.append(bool((compute(row.expand(size, columns).contiguous()) == first).all()))

    threads.each(task, 1, threads.SHARE)
    return all(agree)
