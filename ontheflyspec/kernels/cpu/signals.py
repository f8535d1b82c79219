"""Signals one by one on a CPU: each channel of each item, in spans, and beyond its own ends."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def alone(x: Tensor, lengths: Tensor | None, axes: int = 1) -> tuple[Tensor, list[int]]:
    """Returns all channels of all items in a row, ``[R, ..., N]`` with so many axes after R, and the steps of each."""
    channels = math.prod(x.shape[1:-axes])
    rows = x.reshape(x.shape[0] * channels, *x.shape[-axes:])
    return rows, [x.shape[-1]] * len(rows) if lengths is None else lengths.repeat_interleave(channels).tolist()


def frame_spans(ends: list[int], most: int) -> list[tuple[int, int, int]]:
    """Returns which row, from which step on, and how many steps, for all rows in spans of at most so many steps."""
    return [(row, first, min(most, end - first)) for row, end in enumerate(ends) for first in range(0, end, most)]


def extended(signal: Tensor, start: int, stop: int, reflect: bool, like: Tensor) -> Tensor:
    """Returns samples ``start`` to ``stop`` of a signal ``[n]`` that is reflected at its ends, or zero beyond them.

    Args:
        signal: floats, or int16 (meaning value / 32768), at least one.
        start: first sample, may lie before the signal.
        stop: last sample + 1, may lie after it.
        reflect: whether the signal is reflected, again and again if it is short.
        like: for the type of the result.
    """
    n, before, after = signal.size(0), max(-start, 0), max(stop - signal.size(0), 0)
    if not reflect or before + after == 0:
        part = signal[max(start, 0) : max(min(stop, n), 0)]
    elif before < n and after < n:
        inside = signal[max(start, 0) : min(stop, n)]
        part = torch.cat([signal[1 : before + 1].flip(0), inside, signal[n - 1 - after : n - 1].flip(0)])
    else:
        places = torch.arange(start, stop).remainder(max(2 * (n - 1), 1))
        part = signal[torch.minimum(places, 2 * (n - 1) - places).clamp(min=0)]
    part = part.to(like.dtype) / 32768 if part.dtype == torch.int16 else part.to(like.dtype)
    return part if part.size(0) == stop - start else torch.constant_pad_nd(part, [before, after])
