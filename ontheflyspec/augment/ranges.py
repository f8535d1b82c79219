"""Distributions of random parameters: uniform, mel-spaced, whole numbers, permutations, keys of noise streams.

Each `Range` declares how many random numbers in (0, 1) it takes and the type of the parameter that it makes of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ontheflyspec.functional.scales import scale_to_hz

Params = dict[str, Any]
"""A table of drawn parameters by name, each ``[B]`` or ``[B, k]``; those of chains hold the tables of their steps."""
Span = tuple[float, float]
"""Lowest and highest value of a parameter, equal for a fixed one."""


class Range(NamedTuple):
    """Distribution of one random parameter.

    Args:
        columns: random numbers in (0, 1) that one item takes.
        dtype: type of the parameter.
        make: makes the parameter, ``[B]`` or ``[B, k]``, of random numbers ``[B, columns]`` and of the parameters that
            were drawn before it.
        ways: values that must be tried to find every possible length of a result: 2, the ends of the range, if lengths
            rise or fall with the parameter; the number of all values if lengths follow no order.
    """

    columns: int
    dtype: torch.dtype
    make: Callable[[Tensor, Params], Tensor]
    ways: int = 2


def _made(count: int | None, make: Callable[[Tensor], Tensor], dtype: torch.dtype = torch.float64) -> Range:
    """Returns a range of elementwise functions of random numbers, ``[B]`` for None, ``[B, count]`` otherwise."""
    columns = 1 if count is None else count
    return Range(columns, dtype, lambda unit, _: make(unit[:, 0] if count is None else unit))


def fraction(count: int | None = None) -> Range:
    """Returns the uniform distribution on (0, 1), float64 ``[B]`` for None, ``[B, count]`` otherwise."""
    return _made(count, lambda unit: unit)


def uniform(span: Span, count: int | None = None) -> Range:
    """Returns the uniform distribution on a span, float64 ``[B]`` for None, ``[B, count]`` otherwise."""
    low, high = span
    return _made(count, lambda unit: low + unit * (high - low))


def integers(span: tuple[int, int], count: int | None = None) -> Range:
    """Returns the uniform distribution on whole numbers, both ends among them, int64 ``[B]`` or ``[B, count]``."""
    low, high = span
    return _made(count, lambda unit: low + (unit * (high - low + 1)).long(), torch.int64)


def place(size: int, count: int | None = None) -> Range:
    """Returns the uniform distribution on the positions ``0 .. size - 1``, int64 ``[B]`` or ``[B, count]``."""
    return integers((0, size - 1), count)._replace(ways=size)


def mels(span: Span) -> Range:
    """Returns frequencies in Hz that are uniform on the mel scale, float64 ``[B]``, as in torch-audiomentations."""
    # The edges in Python numbers, which are constants in traces.
    low, high = (2595 * math.log10(1 + edge / 700) for edge in span)
    return _made(None, lambda unit: scale_to_hz(low + unit * (high - low), "htk").clamp(*span))


def key() -> Range:
    """Returns keys of noise streams, uniform on ``0 .. 2 ** 52 - 1``, int64 ``[B]``."""

    def make(unit: Tensor, _: Params) -> Tensor:
        # A number of `rng.uniform` has 32 random bits, so that two give 26 each.
        high, low = (unit * 2**26).long().unbind(-1)
        return high * 2**26 + low

    return Range(2, torch.int64, make)


def order(count: int) -> Range:
    """Returns uniform permutations of ``0 .. count - 1``, int64 ``[B, count]``."""
    return Range(count, torch.int64, lambda unit, _: unit.argsort(stable=True))


def side_by_side(ranges: Sequence[Range]) -> Range:
    """Returns parameters ``[B, k]``, column by column from ranges of one float64 number each."""

    def make(unit: Tensor, before: Params) -> Tensor:
        return torch.stack([one.make(unit[:, k : k + 1], before) for k, one in enumerate(ranges)], 1)

    return Range(len(ranges), torch.float64, make)
