"""Ranges that augmentations draw from, each declared with the numbers it takes and the type of what comes out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

Params = dict[str, Any]
"""A table of host parameters, one ``[B]`` row or more a name; chains hold tables of tables."""
Span = tuple[float, float]


class Range(NamedTuple):
    """What one parameter is drawn from.

    Args:
        columns: numbers in (0, 1) that an item takes.
        dtype: of the parameter.
        make: makes the parameter, ``[B]`` or ``[B, k]``, of such numbers ``[B, columns]`` and of the parameters before.
        ways: how many values there are at least to be tried for their effect on lengths: 2 for the ends of a range,
            between which lengths rise or fall; all there are where they may be in any order.
    """

    columns: int
    dtype: torch.dtype
    make: Callable[[Tensor, Params], Tensor]
    ways: int = 2


def _made(count: int | None, make: Callable[[Tensor], Tensor], dtype: torch.dtype = torch.float64) -> Range:
    """Returns a range of what is made of numbers in (0, 1) one by one; ``count`` of them an item, one for None."""
    columns = 1 if count is None else count
    return Range(columns, dtype, lambda unit, _: make(unit[:, 0] if count is None else unit))


def fraction(count: int | None = None) -> Range:
    """Returns a range of fractions in (0, 1), float64; ``count`` of them an item, one for None."""
    return _made(count, lambda unit: unit)


def uniform(span: Span, count: int | None = None) -> Range:
    """Returns a range of numbers, float64, all as likely; ``count`` of them an item, one for None."""
    low, high = span
    return _made(count, lambda unit: low + unit * (high - low))


def integers(span: tuple[int, int], count: int | None = None) -> Range:
    """Returns a range of whole numbers, int64, both ends possible, all as likely."""
    low, high = span
    return _made(count, lambda unit: low + (unit * (high - low + 1)).long(), torch.int64)


def place(size: int, count: int | None = None) -> Range:
    """Returns a range of places among so many things, int64."""
    return integers((0, size - 1), count)._replace(ways=size)


def mels(span: Span) -> Range:
    """Returns a range of Hz, float64, evenly in mel, as torch-audiomentations draws them."""
    low, high = (2595 * math.log10(1 + edge / 700) for edge in span)
    return _made(None, lambda unit: (700.0 * (10.0 ** ((low + unit * (high - low)) / 2595.0) - 1.0)).clamp(*span))


def key() -> Range:
    """Returns a range of keys of streams of random numbers: whole numbers below ``2 ** 52``, int64."""

    def make(unit: Tensor, _: Params) -> Tensor:
        high, low = (unit * 2**26).long().unbind(-1)
        return high * 2**26 + low

    return Range(2, torch.int64, make)


def order(count: int) -> Range:
    """Returns a range of orders of so many things, int64, all as likely."""
    return Range(count, torch.int64, lambda unit, _: unit.argsort(stable=True))
