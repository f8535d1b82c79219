"""Distortion of waveforms: clipping, tanh saturation, bit crushing and mu-law companding, sample by sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ontheflyspec.batch import expand_mask, items_mask, length_mask, per_item
from ontheflyspec.functional.filtering import filter_items
from ontheflyspec.functional.limits import straight
from ontheflyspec.functional.masks import zero_past
from ontheflyspec.functional.signal_frames import zero_padding
from ontheflyspec.kept import where
from ontheflyspec.op import Op

_LEAST = 1e-6
"""Added to the threshold of saturation, so that it is never 0."""


class Bend(NamedTuple):
    """A distortion curve from sample to sample.

    Args:
        curve: takes samples of items and the curve's parameters, ``[B, 1, ...]`` each.
        levels: how parameters follow from an item's numbers: None for the numbers themselves; ``"samples"`` or
            ``"magnitudes"`` for the quantiles of the item's samples, or of their magnitudes, at these shares.
    """

    curve: Callable[..., Tensor]
    levels: str | None


@Op
def bend_items(data: Tensor, lengths: Tensor, *, active: Tensor, numbers: Tensor, bend: Bend) -> Tensor:
    """Distorts each active item by a curve with the item's own parameters; exactly 0 past its length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        active: bool ``[B]``; other items keep their valid part bit for bit.
        numbers: ``[B, k]``, parameters of the curve, or the shares in 0..1 of quantiles, see `Bend`.
        bend: the curve.
    """
    if bend.levels is not None:
        numbers = quantiles(data, lengths, numbers, magnitude=bend.levels == "magnitudes")
    clean = zero_padding(data, lengths)
    return zero_past(where(items_mask(active, data), bent(clean, numbers, bend), clean), lengths)


def bent(x: Tensor, numbers: Tensor, bend: Bend) -> Tensor:
    """Returns samples of items distorted by a curve with parameters ``[B, k]``."""
    return bend.curve(x, *(per_item(column, x) for column in numbers.unbind(-1)))


@Op
def filter_and_compand(
    data: Tensor, lengths: Tensor, *, active: Tensor, sections: Tensor, tail: int, mu: Tensor
) -> Tensor:
    """Returns items after zero-phase filters and mu-law companding (a telephone line), exactly 0 past each length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        active: bool ``[B]``; other items keep their valid part bit for bit.
        sections: as in `filter_items`.
        tail: as in `filter_items`.
        mu: compression parameter of each item, ``[B, 1]``.
    """
    made = filter_items.reference(data, lengths, active=active, sections=sections, zero_phase=True, tail=tail)
    return bend_items.reference(made, lengths, active=active, numbers=mu, bend=MU_LAW)


def quantiles(data: Tensor, lengths: Tensor, shares: Tensor, *, magnitude: bool) -> Tensor:
    """Returns quantiles of each item's valid samples, ``[B, k]``, interpolated as ``numpy.quantile`` does.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        shares: float64 ``[B, k]`` in 0..1.
        magnitude: whether to take quantiles of magnitudes.

    Returns:
        Quantiles, 0 for items without samples.
    """
    channels = data.shape[1] if data.dim() == 3 else 1
    values = data.abs() if magnitude else data
    if data.shape[-1] == 0:
        return values.new_zeros(shares.shape)
    mask = expand_mask(length_mask(lengths, data.shape[-1], data.device), data)
    ordered = where(mask, values, torch.inf).flatten(1).sort(-1).values
    last = (lengths.to(data.device, non_blocking=True) * channels - 1).clamp(min=0).unsqueeze(-1)
    place = shares.to(data.device, non_blocking=True) * last
    below = place.long()
    low, high = ordered.gather(1, below), ordered.gather(1, torch.minimum(below + 1, last))
    some = (lengths > 0).to(data.device, non_blocking=True).unsqueeze(-1)
    low, high = where(some, low, 0), where(some, high, 0)
    return low + (high - low) * (place - below).to(data.dtype)


def clip(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Clips samples to ``low``..``high``."""
    return torch.minimum(torch.maximum(x, low), high)


def saturate(x: Tensor, threshold: Tensor) -> Tensor:
    """Returns ``tanh(x / (2 * threshold))`` scaled to the power of ``x``, which is 0 past the items' ends."""
    made = torch.tanh(x * (0.5 / (threshold + _LEAST)))
    before, after = (per_item(part.square().flatten(1).sum(1), x) for part in (x, made))
    heard = (before > 0) & (after > 0)
    ratio = where(heard, before, 1) / where(heard, after, 1)
    return made * where(heard, ratio, 1).sqrt()


def crush(x: Tensor, steps: Tensor) -> Tensor:
    """Rounds samples to multiples of ``1 / steps`` (bit crushing); the gradient is that of ``x``."""
    return straight(torch.round(x * steps) / steps, x)


def mu_law(x: Tensor, mu: Tensor) -> Tensor:
    """Returns samples after mu-law companding: compressed, rounded to ``mu // 2`` levels on each side of 0, expanded.

    Samples are clipped to -1..1. The gradient is that of the clipped samples.
    """
    x = x.clamp(-1, 1)
    levels, scale = torch.floor(mu / 2), torch.log1p(mu)
    code = torch.round(torch.log1p(mu * x.abs()) * (levels / scale))
    size = torch.expm1(code * (scale / levels)) / mu
    return straight(torch.copysign(size, x), x)


CLIP, SATURATE = Bend(clip, "samples"), Bend(saturate, "magnitudes")
CRUSH, MU_LAW = Bend(crush, None), Bend(mu_law, None)
