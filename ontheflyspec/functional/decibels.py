"""Decibels and natural logarithms of features, with references and floors over each item's own valid part."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ontheflyspec.functional.signal_frames import zero_padding
from ontheflyspec.op import Op


@Op
def decibels(
    x: Tensor, lengths: Tensor | None, *, stype: str, ref: float | str, amin: float, top_db: float | None
) -> Tensor:
    """Returns decibels, ``10 log10(x / ref)`` of powers or ``20 log10(x / ref)`` of magnitudes.

    Args:
        x: non-negative ``[B, ..., N]``.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        stype: ``"power"`` or ``"magnitude"``.
        ref: a number, or ``"max"`` for each item's own maximum over its valid part.
        amin: smallest value of ``x`` and ``ref``; smaller values count as ``amin``.
        top_db: floor in dB below each item's own valid maximum, None for no floor.

    Shape: as ``x``, exactly 0 past each length.
    """
    factor = 10.0 if stype == "power" else 20.0
    out = zero_padding(x, lengths).clamp(min=amin).log10().mul_(factor)
    if x.numel() and (ref == "max" or top_db is not None):
        peak = out.amax(tuple(range(1, x.dim())), keepdim=True)
        if top_db is not None:
            out = torch.maximum(out, peak - top_db)
        if ref == "max":
            out = out - peak
    if not isinstance(ref, str) and (offset := factor * math.log10(max(ref, amin))):
        out = out - offset
    return zero_padding(out, lengths)


@Op
def log_above(x: Tensor, lengths: Tensor | None, *, offset: float) -> Tensor:
    """Returns natural logarithms of ``x + offset`` for non-negative ``x``, exactly 0 past each length."""
    return zero_padding((zero_padding(x, lengths) + offset).log(), lengths)


@Op
def log(x: Tensor, lengths: Tensor | None, *, floor: float) -> Tensor:
    """Returns natural logarithms of ``max(x, floor)``, exactly 0 past each length."""
    return zero_padding(zero_padding(x, lengths).clamp(min=floor).log(), lengths)
