"""Designs of filters from Hz: Butterworth bands and the band of a telephone line, and the length of their responses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ontheflyspec.functional.filtering import butterworth, butterworth_band, tails, warped
from ontheflyspec.torch_internals import outside_traces

LOWEST = 1.0
"""Hz, the least frequency of a filter: its response goes on for seconds."""

LIMITS = {"hz": (LOWEST, math.inf), "bandwidth": (0.01, 1.99), "db": (-60.0, 60.0), "q": (0.05, 100.0)}
"""Lowest and highest value of a filter's parameters, by the last word of their names."""

_LOWER_TOP = 0.44
"""Share of the rate that the lower edge of a band lies at most at, so that it stays below the upper one."""

Design = Callable[..., Tensor]
"""Makes second-order sections of a rate in Hz and parameters, each float64 ``[B]``, or ``[B, k]`` for k bands."""


def digital(design: Callable[..., Tensor], rate: float, hertz: Tensor, *others: Tensor, **options: Any) -> Tensor:
    """Returns the sections of a filter at frequencies in Hz, by a design on the scale of `warped`."""
    return design(warped(hertz, rate), *others, **options)


def band(rate: float, center_hz: Tensor, bandwidth: Tensor, *, order: int, kind: str) -> Tensor:
    """Returns the sections of a Butterworth band filter, see `butterworth_band`.

    Args:
        rate: Hz.
        center_hz: middle of the band, float64 ``[B]``.
        bandwidth: its width as a share of the middle, float64 ``[B]``.
        order: half the number of poles.
        kind: ``"pass"`` or ``"stop"``.
    """
    half = center_hz * bandwidth / 2
    lower = warped((center_hz - half).clamp(min=LOWEST), rate, _LOWER_TOP)
    return butterworth_band(lower, warped(center_hz + half, rate), order, kind)


def line(rate: float, low_hz: Tensor, high_hz: Tensor, *, order: int) -> Tensor:
    """Returns the sections of a Butterworth high-pass and a low-pass filter at edges in Hz, float64 ``[B]`` each."""
    lower, upper = warped(low_hz, rate), warped(high_hz, rate)
    return torch.cat([butterworth(lower, order, "high"), butterworth(upper, order, "low")], 1)


def longest(design: Design, rate: float, *spans: Any) -> int:
    """Returns the samples of the longest response of a design, which has its parameters at ends of their spans."""

    def found() -> int:
        sides = zip(*itertools.product((0, 1), repeat=len(spans)), strict=True)
        ends = [torch.tensor(span, dtype=torch.float64, device="cpu") for span in spans]
        values = [end[..., list(side)].movedim(-1, 0) for end, side in zip(ends, sides, strict=True)]
        return int(tails(design(rate, *values)).max())

    return outside_traces(found)
