"""Waveforms bent sample by sample: clipped, saturated, quantised."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ontheflyspec.batch import expand_mask, length_mask, per_item
from ontheflyspec.functional.filtering import filter_items
from ontheflyspec.functional.masks import zero_past
from ontheflyspec.functional.signal_frames import cut
from ontheflyspec.op import Op

_LEAST = 1e-6
"""Added to the threshold of saturation, so that silence is not divided by."""


class Bend(NamedTuple):
    """A curve from sample to sample.

    Args:
        curve: takes samples of items and their numbers, ``[B, 1, ...]`` each.
        levels: None for numbers of a table; ``"samples"`` or ``"magnitudes"`` for their quantiles in each item.
    """

    curve: Callable[..., Tensor]
    levels: str | None


@Op
def bend_items(data: Tensor, lengths: Tensor, *, active: Tensor, numbers: Tensor, bend: Bend) -> Tensor:
    """Returns each active item bent by its own numbers, exactly 0 past its length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        active: bool ``[B]``; other items keep their valid part bit for bit.
        numbers: ``[B, k]``, those of the curve, or the shares in 0..1 of its quantiles.
        bend: the curve.
    """
    if bend.levels is not None:
        numbers = quantiles(data, lengths, numbers, magnitude=bend.levels == "magnitudes")
    clean = cut(data, lengths)
    return zero_past(torch.where(per_item(active, data) != 0, bent(clean, numbers, bend), clean), lengths)


def bent(x: Tensor, numbers: Tensor, bend: Bend) -> Tensor:
    """Returns samples of items by a curve with their numbers ``[B, k]``."""
    return bend.curve(x, *(per_item(column, x) for column in numbers.unbind(-1)))


@Op
def filter_and_compand(
    data: Tensor, lengths: Tensor, *, active: Tensor, sections: Tensor, tail: int | None, mu: Tensor
) -> Tensor:
    """Returns items after filters of zero phase and mu-law coding, exactly 0 past each length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        active: bool ``[B]``; other items keep their valid part bit for bit.
        sections: as in `filter_items`.
        tail: as in `filter_items`.
        mu: compression of each item, ``[B, 1]``.
    """
    made = filter_items.reference(data, lengths, active=active, sections=sections, zero_phase=True, tail=tail)
    return bend_items.reference(made, lengths, active=active, numbers=mu, bend=MU_LAW)


def quantiles(data: Tensor, lengths: Tensor, shares: Tensor, *, magnitude: bool) -> Tensor:
    """Returns quantiles of each item's valid samples, ``[B, k]``, interpolated as ``numpy.quantile`` does.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        shares: float64 ``[B, k]`` in 0..1.
        magnitude: whether magnitudes of samples are meant; 0 for items without samples.
    """
    channels = data.shape[1] if data.dim() == 3 else 1
    values = data.abs() if magnitude else data
    if data.shape[-1] == 0:
        return values.new_zeros(shares.shape)
    mask = expand_mask(length_mask(lengths, data.shape[-1], data.device), data)
    ordered = torch.where(mask, values, torch.inf).flatten(1).sort(-1).values
    last = (lengths.to(data.device, non_blocking=True) * channels - 1).clamp(min=0).unsqueeze(-1)
    place = shares.to(data.device, non_blocking=True) * last
    below = place.long()
    low, high = ordered.gather(1, below), ordered.gather(1, torch.minimum(below + 1, last))
    some = (lengths > 0).to(data.device, non_blocking=True).unsqueeze(-1)
    low, high = torch.where(some, low, 0), torch.where(some, high, 0)
    return low + (high - low) * (place - below).to(data.dtype)


def clip(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Returns samples kept between two numbers."""
    return torch.minimum(torch.maximum(x, low), high)


def saturate(x: Tensor, threshold: Tensor) -> Tensor:
    """Returns ``tanh(x / (2 * threshold))`` at the power of ``x``, with silence past the items' ends."""
    made = torch.tanh(x * (0.5 / (threshold + _LEAST)))
    before, after = (per_item(part.square().flatten(1).sum(1), x) for part in (x, made))
    heard = (before > 0) & (after > 0)
    ratio = torch.where(heard, before, 1) / torch.where(heard, after, 1)
    return made * torch.where(heard, ratio, 1).sqrt()


def crush(x: Tensor, steps: Tensor) -> Tensor:
    """Returns samples rounded to the nearest of ``steps`` levels between 0 and 1; the gradient is that of ``x``."""
    return straight(torch.round(x * steps) / steps, x)


def mu_law(x: Tensor, mu: Tensor) -> Tensor:
    """Returns samples in -1..1 compressed, rounded to ``mu // 2`` levels above and below 0, and expanded.

    The gradient is that of the samples, 0 beyond -1..1.
    """
    x = x.clamp(-1, 1)
    levels, scale = torch.floor(mu / 2), torch.log1p(mu)
    code = torch.round(torch.log1p(mu * x.abs()) * (levels / scale))
    size = torch.expm1(code * (scale / levels)) / mu
    return straight(torch.copysign(size, x), x)


def straight(value: Tensor, x: Tensor) -> Tensor:
    """Returns the value with the gradient of ``x``."""
    return value.detach() + (x - x.detach()) if x.requires_grad else value


CLIP, SATURATE = Bend(clip, "samples"), Bend(saturate, "magnitudes")
CRUSH, MU_LAW = Bend(crush, None), Bend(mu_law, None)
